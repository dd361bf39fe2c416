"""Sweeps: a stage as Keras Tuner sees it, its oracles, and what a sweep leaves on disk."""
