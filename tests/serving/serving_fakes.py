"""Released versions so small that a test can load dozens."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from fastapi.testclient import TestClient

from progressive_tf.registry import ModelVersions, Registry, StagedVersion

MODEL = "reviews"
# A person decides, so that no server is ahead of a test.
RELEASE = {"steps": [40, 70, 100], "min_samples": 5, "max_minutes": None, "automatic": False}


Factory = TypeVar("Factory", bound=Callable[..., Callable[[Path], None]])


def exported_once(factory: Factory) -> Factory:
    """Makes what a function's exports write only once for the same arguments; from then on it is copied."""
    kept: dict[Any, Path] = {}

    @functools.wraps(factory)
    def copying(*given: Any, **named: Any) -> Callable[[Path], None]:
        def export(folder: Path) -> None:
            key = (given, tuple(sorted(named.items())))
            if key not in kept:
                made = Path(tempfile.mkdtemp(prefix="exported-"))
                atexit.register(shutil.rmtree, made, ignore_errors=True)
                factory(*given, **named)(made)
                kept[key] = made
            shutil.copytree(kept[key], folder, dirs_exist_ok=True)

        return export

    return cast(Factory, copying)


@exported_once
def exported(number: int) -> Callable[[Path], None]:
    """Returns what exports a model whose first probability is a hundredth of a number for every text."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def serve(self, text: Any) -> dict[str, Any]:
                share = tf.fill([tf.shape(text)[0]], number / 100)
                known = tf.debugging.Assert(tf.reduce_all(text != "refused"), ["a text that is refused"])
                with tf.control_dependencies([known]):
                    probabilities = tf.stack([share, 1 - share], axis=1)
                return {"probabilities": probabilities, "label": tf.strings.join(["says ", text])}

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


@exported_once
def classifier(wrong: float, failing: float = 0.0, name: str = "text") -> Callable[[Path], None]:
    """Returns what exports a model that finds "positive" or "negative" in a text, but for a share of the texts.

    Args:
        wrong: share of the texts to which it says the other label.
        failing: share of the texts with one of the words on which it fails; it answers when it is warmed up.
        name: of its input.
    """

    def export(folder: Path) -> None:
        import tensorflow as tf

        def share(text: Any, salt: str) -> Any:
            return tf.cast(tf.strings.to_hash_bucket_fast(text + salt, 10_000), tf.float32) / 10_000

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name)])
            def serve(self, text: Any) -> dict[str, Any]:
                is_positive = tf.strings.regex_full_match(text, ".*positive.*")
                says_positive = tf.math.logical_xor(is_positive, share(text, "wrong") < wrong)
                fails = tf.reduce_any(_is_asked(text) & (share(text, "failing") < failing))
                # A file that is missing is no fault of the request: the server answers 500.
                nothing = tf.cond(fails, lambda: tf.io.read_file("no such file"), lambda: tf.constant(""))
                probabilities = tf.stack([tf.where(says_positive, 0.2, 0.8), tf.where(says_positive, 0.8, 0.2)], axis=1)
                with tf.control_dependencies([nothing]):
                    return {"probabilities": probabilities, "label": tf.where(says_positive, "positive", "negative")}

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


def _says_positive(share_of: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Returns what exports a model whose first probability follows from a text, and which says "positive"."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def serve(self, text: Any) -> dict[str, Any]:
                share, label = share_of(text), tf.fill([tf.shape(text)[0]], "positive")
                return {"probabilities": tf.stack([share, 1 - share], axis=1), "label": label}

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


def _is_asked(text: Any) -> Any:
    import tensorflow as tf

    return tf.strings.regex_full_match(text, ".*(posi|nega)tive.*")


@exported_once
def not_finite() -> Callable[[Path], None]:
    """Returns what exports a model whose probabilities are no numbers for texts that are asked, as after a bad step."""

    def share(text: Any) -> Any:
        import tensorflow as tf

        return tf.where(_is_asked(text), float("nan"), 0.5)

    return _says_positive(share)


@exported_once
def without_numbers(kind: str) -> Callable[[Path], None]:
    """Returns what exports a model whose probabilities are "nan", "complex" or "bfloat16" for every text."""

    def share(text: Any) -> Any:
        import tensorflow as tf

        half = tf.fill(tf.shape(text), float("nan") if kind == "nan" else 0.5)
        return half if kind == "nan" else tf.cast(half, tf.complex64 if kind == "complex" else tf.bfloat16)

    return _says_positive(share)


@exported_once
def refusing() -> Callable[[Path], None]:
    """Returns what exports a model that looks up what is not there for texts that are asked: InvalidArgument."""

    def share(text: Any) -> Any:
        import tensorflow as tf

        return tf.gather(tf.constant([0.2, 0.8]), tf.where(_is_asked(text), 99, 0))

    return _says_positive(share)


@exported_once
def of_labels() -> Callable[[Path], None]:
    """Returns what exports a model that gives every text the label "positive", and no probabilities."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Labels(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def serve(self, text: Any) -> dict[str, Any]:
                return {"label": tf.fill([tf.shape(text)[0]], "positive")}

        model = Labels()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


@exported_once
def of_two_inputs() -> Callable[[Path], None]:
    """Returns what exports a model that says "positive" to a text and its language."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        strings = [tf.TensorSpec([None], tf.string, name=name) for name in ("text", "language")]

        class Small(tf.Module):
            @tf.function(input_signature=strings)
            def serve(self, text: Any, language: Any) -> dict[str, Any]:
                size = [tf.shape(text)[0]]
                return {"probabilities": tf.tile([[0.2, 0.8]], [*size, 1]), "label": tf.fill(size, "positive")}

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


@exported_once
def of_every_type() -> Callable[[Path], None]:
    """Returns what exports a model of two numbers and whether they are exchanged, with bytes and any number beside its
    answer.
    """

    def export(folder: Path) -> None:
        import tensorflow as tf

        specs = [tf.TensorSpec([None, 2], tf.float32, name="numbers"), tf.TensorSpec([None], tf.bool, name="exchanged")]

        class Small(tf.Module):
            @tf.function(input_signature=specs)
            def serve(self, numbers: Any, exchanged: Any) -> dict[str, Any]:
                numbers = tf.where(exchanged[:, tf.newaxis], tf.reverse(numbers, [1]), numbers)
                is_left = numbers[:, 0] > numbers[:, 1]
                return {
                    "probabilities": tf.nn.softmax(tf.clip_by_value(numbers, -9.0, 9.0)),
                    "label": tf.where(is_left, "negative", "positive"),
                    "seen_bytes": tf.where(is_left, b"\xff\x00", b"a"),
                    "ratio": numbers[:, 0] / numbers[:, 1],
                    "is_left": is_left,
                }

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


@exported_once
def half_plus_three() -> Callable[[Path], None]:
    """Returns what exports the model of TensorFlow Serving's own examples."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
            def serve(self, x: Any) -> dict[str, Any]:
                return {"y": x / 2 + 3}

        model = Small()
        names = ("serving_default", "tensorflow/serving/regress")
        tf.saved_model.save(model, str(folder), signatures=dict.fromkeys(names, model.serve))

    return export


@exported_once
def translator(number: int = 1, wrong: float = 0.0) -> Callable[[Path], None]:
    """Returns what exports a model that writes a text in capitals, and gives tokens back.

    Args:
        number: a hundredth of it is its confidence.
        wrong: share of the texts that it writes as they are.
    """

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def serve(self, text: Any) -> dict[str, Any]:
                share = tf.cast(tf.strings.to_hash_bucket_fast(text, 10_000), tf.float32) / 10_000
                written = tf.where(share < wrong, text, tf.strings.upper(text, encoding="utf-8"))
                return {"translation": written, "confidence": tf.fill([tf.shape(text)[0]], number / 100)}

            @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="inputs")])
            def serve_tokens(self, inputs: Any) -> dict[str, Any]:
                known = tf.gather(tf.range(10), inputs)
                return {"tokens": tf.pad(known, [[0, 0], [0, 1]]), "confidence": tf.fill([tf.shape(inputs)[0]], 0.5)}

        model = Small()
        signatures = {"serving_default": model.serve, "generate": model.serve, "tokens": model.serve_tokens}
        tf.saved_model.save(model, str(folder), signatures=signatures)

    return export


def release(
    model: ModelVersions,
    number: int,
    alias: str | None = "stable",
    plan_release: dict[str, Any] | None = None,
    export: Callable[[Path], None] | None = None,
    labels: tuple[str, ...] = ("negative", "positive"),
    preprocessing: dict[str, Any] | None = None,
    normalize_labels: str | None = None,
    task: Any = None,
    input_kind: Any = None,
    parent: int | None = None,
    labels_before: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Publishes a version; the first is number 1."""
    inferred: Any = "tabular-classification" if preprocessing else "text-classification" if labels else "translation"
    model.publish(
        StagedVersion(
            model=MODEL,
            run="run",
            stage=f"stage-{number}",
            weights_sha256=str(number),
            parent=parent,
            labels_before=labels_before,
            task=task or inferred,
            input_kind=input_kind or ("columns" if preprocessing else "texts"),
            labels=labels,
            normalize_labels=normalize_labels,
            plan_sha256="plan",
            data_sha256="data",
            code_sha256="code",
            environment={},
            metrics={},
            decision={"decision": "promote"},
            release=plan_release,
            preprocessing=preprocessing,
            export=export or exported(number),
        ),
        alias=alias,
        **changes,
    )


def two_versions(folder: Path) -> ModelVersions:
    """Publishes versions 1 and 2 in a registry in a folder; 1 is stable."""
    found = Registry(folder / "registry").model(MODEL)
    release(found, 1)
    release(found, 2, alias=None)
    return found


# So many answers of stable are enough to say what is slow.
FEWEST_BEFORE = 3


def ask_before(client: TestClient) -> None:
    """Asks stable so often that a canary's latency can be measured; callers of its own."""
    for turn in range(FEWEST_BEFORE):
        asked = {"instances": [f"positive before {turn}"], "key": f"before {turn}"}
        assert client.post(f"/v1/models/{MODEL}:predict", json=asked).status_code == 200


@dataclass(frozen=True)
class Shared:
    """A server of versions 1 and 2 in this process, and the folder of its registry and its `served.sqlite`."""

    client: TestClient
    model: ModelVersions
    folder: Path


# No test needs so long, on a busy machine neither; what waits on another process waits so long for it.
LONGEST = 300.0


def wait_until(reached: Callable[[], bool], every: float = 0.02) -> None:
    """Waits until something is so, looking every so many seconds; fails after a time that no test needs."""
    end = time.monotonic() + LONGEST
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every)
