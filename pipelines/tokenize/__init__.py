"""The tokenize stage: fit a tokenizer, and write encoded training data."""
