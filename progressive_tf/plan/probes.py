"""Inputs whose explanations are followed from version to version."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from progressive_tf.plan.methods import Strict

EXPLANATION_CORRELATION = "explanation_correlation"


class Probes(Strict):
    """After each stage, why the network says the right class of the same gate rows of the first stage."""

    take: Annotated[int, Field(ge=1)] = 50
    steps: Annotated[int, Field(ge=8, le=512)] = 32
