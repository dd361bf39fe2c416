"""What production says of a model: live metrics, drift, and what the next stage should learn."""
