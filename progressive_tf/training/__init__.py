"""Training one stage, and the release loop over stages."""
