"""Turn samples into validated records, unit of work by unit of work, and stage their shards."""
