"""Test the privacy claim empirically: canaries, neighboring data sets, lower bounds on epsilon."""
