"""Run the audit stage: attack the way in which a model was trained, and compare what is proved with the claim."""
