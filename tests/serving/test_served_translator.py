"""A T5 in memory: what it writes does not depend on its batch, and what it is warmed up with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from serving_fakes import MODEL, release

from progressive_tf.plan.networks import T5
from progressive_tf.registry import Registry
from progressive_tf.serving.instances import Instance, bucket_of

pytestmark = pytest.mark.slow

TEXTS = ["", "7", "ä 漢字 🙂", "word " * 3, "quite a long text", "x" * 40, "q" * 400, *map(str, range(90, 99))]


def instance(text: str) -> Instance:
    value = np.empty((), object)
    value[...] = text.encode()
    return {"text": value}


def test_a_text_is_translated_alike_alone_and_in_any_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from progressive_tf.models.request import Request
    from progressive_tf.models.t5 import t5
    from progressive_tf.serving.loaded import LoadedVersion
    from progressive_tf.training.answers.exported import export_saved_model

    config = tiny.T5_CONFIG | {"d_model": 16, "initializer_factor": 3.0}
    settings = T5(builder="t5", weights=None, max_length=48, max_target_length=12, beams=2, config=config)
    network = t5.build(Request(model=settings, labels=()))
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=lambda folder: export_saved_model(network, folder), labels=())
    loaded = LoadedVersion(model.version(1))
    sizes: list[tuple[str, int]] = []
    answer = loaded.answer
    with monkeypatch.context() as patch:
        patch.setattr(
            loaded, "answer", lambda bucket, batch: sizes.append((bucket[0], len(batch))) or answer(bucket, batch)
        )
        loaded.warm_up(32)
    assert sorted(set(sizes)) == [("generate", 1), ("serving_default", 1), ("tokens", 1)]
    instances = [instance(text) for text in TEXTS]
    bucket = bucket_of("generate", instances[0])
    alone = [each for one in instances for each in loaded.answer(bucket, [one])]
    assert len({each["translation"] for each in alone}) > 5
    for order in (range(len(TEXTS)), reversed(range(len(TEXTS)))):
        places = list(order)
        for batch in (places, places[:5], places[5:]):
            together = loaded.answer(bucket, [instances[place] for place in batch])
            for place, found in zip(batch, together, strict=True):
                assert found["translation"] == alone[place]["translation"]
                assert found["confidence"] == pytest.approx(alone[place]["confidence"], rel=1e-4)
                found["translation"].encode("utf-8")
