"""Model card, dataset card and Croissant description: what a model or an output is, in files that travel with it."""
