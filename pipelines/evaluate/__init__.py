"""Run the evaluate stage: compare synthetic records with real ones and write the report."""
