"""What a generation is asked for: start strings, conditions and partial records, read, stored and encoded."""
