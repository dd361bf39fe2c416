"""Figures that the README and the decisions quote, each by one command: python -m benchmarks.<name>."""
