"""Stages that learn from a stream: each row is answered first and learnt then."""
