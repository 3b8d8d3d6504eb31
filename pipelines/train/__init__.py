"""The train stage: on this machine or on one Beam worker, with or without differential privacy."""
