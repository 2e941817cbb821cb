"""Training: a run's spec goes in, its record comes out."""
