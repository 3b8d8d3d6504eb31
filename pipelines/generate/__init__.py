"""Run the generate stage: plan units of work, run them on workers, publish the shards."""
