"""A REST server for the versions that a registry's aliases point to, in TensorFlow Serving's interface."""
