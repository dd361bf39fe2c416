"""The life of one stage, from its rows to its release."""
