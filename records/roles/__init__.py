"""Columns that no model is given: how they are cut, what is learned of keys, and what stands in them on output."""
