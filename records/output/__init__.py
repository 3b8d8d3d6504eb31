"""Write records as text, JSON Lines, Avro, Parquet or Iceberg, with schemas, column types and partitions."""
