"""The generate stage: plan work units, generate their records on workers, publish the shards."""
