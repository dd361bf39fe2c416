"""Versions that tag words or write texts, whose rows and answers chance has made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made_up import QUICK, RIGHT, subject
from tiny import WORDS

from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.registry import Version

TAG_NAMES = ("O", "B-person", "I-person", "B-place", "I-place")


class Tagger(Version):
    """A version that tags words."""

    def manifest(self) -> dict[str, object]:
        return {"task": "token-classification", "labels": list(TAG_NAMES)}


class Translator(Version):
    """A version that writes texts."""

    def manifest(self) -> dict[str, object]:
        return {"task": "translation"}


def tagged(rows: int, seed: int) -> Asked:
    """Returns sentences with an entity of two words, one of one word, or none; some tags are wrong."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(5, 9, rows).astype(np.int32)
    truth = []
    for length, kind in zip(lengths, generator.integers(0, 3, rows), strict=True):
        truth.append(np.array([[0, 0, 0], [0, 1, 2], [3, 0, 0]][kind] + [0] * (length - 3), np.int32))
    said = [
        tags if generator.random() < RIGHT else np.where(np.arange(len(tags)) == len(tags) - 1, 1, tags)
        for tags in truth
    ]
    inputs = [{"tokens": [str(word) for word in generator.choice(WORDS, length)]} for length in lengths]
    codes = np.concatenate(truth), np.concatenate(said).astype(np.int32)
    return Asked(inputs, TagAnswers(TAG_NAMES, lengths, *codes, np.ones(len(codes[0]), np.float32)))


def written(rows: int, seed: int) -> Asked:
    """Returns texts and the same words in another order; some are left as they were."""
    generator = np.random.default_rng(seed)
    texts = [" ".join([str(row), *generator.choice(WORDS, generator.integers(1, 6))]) for row in range(rows)]
    truth = [" ".join([*reversed(text.split()), "!"]) for text in texts]
    said = [right if generator.random() < RIGHT else text for right, text in zip(truth, texts, strict=True)]
    sure = generator.uniform(0.5, 1, rows).astype(np.float32)
    return Asked([{"text": text} for text in texts], TextAnswers(np.array(truth, object), np.array(said, object), sure))


def of_kind(kind: str) -> Subject:
    """Returns a version that answers `tags` or `texts`, whose gate forbids losing more than two points."""
    make, version, metric = {
        "tags": (tagged, Tagger, "token_accuracy"),
        "texts": (written, Translator, "exact_match"),
    }[kind]
    of = subject()
    gate, callers = make(600, 1), make(200, 2)
    return replace(
        of,
        version=version(*(getattr(of.version, name) for name in of.version.__dataclass_fields__)),
        gate=gate,
        callers=callers,
        rules=(GateRule(metric=metric, slice="every-previous", drop_at_most=0.02, confidence=0.95),),
        schedule=QUICK,
    )
