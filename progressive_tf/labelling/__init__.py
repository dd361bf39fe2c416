"""Inputs that are worth a label: which to ask people about, and what is done with their answers."""
