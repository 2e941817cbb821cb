"""Trainers: what turns a run's spec into its record. `register` makes one of your own known by its name."""

from mixlaw.train.registry import register

__all__ = ["register"]
