"""Run a whole command on one Dataflow worker, started from a Flex Template."""
