"""What this package is compared with: scripts that run in the environment of `scripts/setup-peers`, without TensorFlow.

Each reads the rows to learn from a file (`benchmarks.peers.task`), so that both sides have the same ones, and writes
its figures to another. Nothing in here imports progressive_tf.
"""
