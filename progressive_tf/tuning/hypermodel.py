"""A stage's search space in Keras Tuner's terms."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import keras_tuner

from progressive_tf.plan.sweep import Parameter, active

Token = bool | int | float | str


class StageHyperModel(keras_tuner.HyperModel):
    """The values of a stage's keys that a sweep may try.

    It builds no Keras model: the network is the run's own, at the weights that the stage starts from.

    Args:
        space: by key.
    """

    def __init__(self, space: Mapping[str, Parameter]) -> None:
        super().__init__("stage")
        self.space = dict(space)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Registers every key, those that others depend on first."""
        declared: set[str] = set()
        while len(declared) < len(self.space):
            for key, parameter in self.space.items():
                if key not in declared and declared.issuperset(parameter.when):
                    self._declare(hp, key, parameter)
                    declared.add(key)

    def build(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Returns the values that Keras Tuner has chosen, by key, as a plan has them."""
        self.declare_hyperparameters(hp)
        return self.values(hp.values)

    def values(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values of Keras Tuner as a plan has them, without keys that are not searched beside these."""
        decoded = {
            key: self._choices(parameter)[chosen[key]] if parameter.choice is not None else chosen[key]
            for key, parameter in self.space.items()
            if key in chosen
        }
        return {key: decoded[key] for key in active(self.space, decoded) if key in decoded}

    def encoded(self, values: Mapping[str, Any]) -> dict[str, Token]:
        """Returns values of a plan as Keras Tuner has them; one that is not in the space becomes the nearest one."""
        encoded: dict[str, Token] = {}
        for key in active(self.space, values):
            parameter, value = self.space[key], values[key]
            if parameter.choice is not None:
                tokens = {
                    json.dumps(choice, sort_keys=True): token for token, choice in self._choices(parameter).items()
                }
                encoded[key] = tokens.get(json.dumps(value, sort_keys=True), next(iter(tokens.values())))
            else:
                lowest, highest = parameter.ends
                number = value if isinstance(value, int | float) else lowest
                encoded[key] = type(lowest)(min(max(number, lowest), highest))
        return encoded

    def _declare(self, hp: keras_tuner.HyperParameters, key: str, parameter: Parameter) -> None:
        with contextlib.ExitStack() as scopes:
            for parent, values in parameter.when.items():
                choices = self._choices(self.space[parent])
                scopes.enter_context(
                    hp.conditional_scope(parent, [t for t, choice in choices.items() if choice in values])
                )
            sampling = "log" if parameter.log else "linear"
            if parameter.float is not None:
                hp.Float(key, *parameter.float, step=parameter.step, sampling=sampling)
            elif parameter.int is not None:
                hp.Int(key, *parameter.int, step=int(parameter.step) if parameter.step else None, sampling=sampling)
            else:
                hp.Choice(key, list(self._choices(parameter)))

    @staticmethod
    def _choices(parameter: Parameter) -> dict[Token, Any]:
        """Returns the choices by what stands for each in Keras Tuner, which knows one type of scalar at a time."""
        choices = parameter.choice or ()
        if len({type(choice) for choice in choices}) == 1 and isinstance(choices[0], bool | int | float | str):
            return {choice: choice for choice in choices}
        if all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
            return {float(choice): choice for choice in choices}
        return {json.dumps(choice, sort_keys=True): choice for choice in choices}
