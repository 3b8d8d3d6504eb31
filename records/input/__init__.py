"""Find input files, split them into records and collect statistics of their fields."""
