"""Run the train stage: locally, on a Beam worker, with or without differential privacy."""
