"""Sources beside lines of text: CSV, JSON Lines, Avro, Parquet and Iceberg, whose rows become records and come back typed."""
