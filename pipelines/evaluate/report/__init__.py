"""Render the evaluation report as one HTML page."""
