"""Run the audit stage: attack the way of training and compare the result with the claim."""
