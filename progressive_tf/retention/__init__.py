"""Retention methods: what a stage does so that earlier ones are not forgotten.

Penalties are terms of the loss (`lwf` and `distill` are both `soft_targets`); replay chooses rows and mixes them into
batches; averages mix weights, or answers, with earlier ones.
"""
