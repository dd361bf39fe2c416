"""Retention methods: what a stage does so that earlier ones are not forgotten. One file each.

Penalties are terms of the loss; replay chooses rows and mixes them into batches.
"""
