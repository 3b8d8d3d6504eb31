"""Tell a lineage server, or a file, what a command reads and writes, as events of OpenLineage."""
