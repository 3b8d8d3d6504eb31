"""Declare the settings, check their combinations, and record the warnings of a run."""
