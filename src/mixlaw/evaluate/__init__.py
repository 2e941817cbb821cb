"""Confirmation: mixtures that a solution must beat, what training at them showed, and downstream tasks."""
