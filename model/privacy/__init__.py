"""Train with differential privacy: Poisson sampling, clipping, noise, accounting and the statement."""
