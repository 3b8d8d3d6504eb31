"""Start and stop a Flink cluster on this machine, for tests."""
