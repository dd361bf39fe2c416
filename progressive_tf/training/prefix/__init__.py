"""Outputs of frozen leading blocks: computed once per example, kept on disk, shared by everything with that prefix."""
