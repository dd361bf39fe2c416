"""The package from Python and in notebooks: plans, runs and registries as values that show themselves."""
