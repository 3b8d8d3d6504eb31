"""Tell a model's records from real ones, and leave out what real ones are rarely like."""
