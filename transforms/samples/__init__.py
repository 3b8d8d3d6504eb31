"""Uniform samples of the rows of an input: where rows are, and which of them are drawn."""
