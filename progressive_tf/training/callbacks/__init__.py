"""Callbacks that observe and steer a stage: stop it, lower its rate, save it, report it."""
