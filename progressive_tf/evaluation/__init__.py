"""Metrics with a direction, their bootstrap intervals, the R matrix, calibration and the gate; no TensorFlow."""
