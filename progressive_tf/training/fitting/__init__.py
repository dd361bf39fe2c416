"""One fit: examples, objective, optimizer, callbacks and checkpoints."""
