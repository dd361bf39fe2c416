from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tiny
from fitting import dense_network, fit, rows_of_numbers, stage
from releasing import Place, small_plan

from progressive_tf.errors import InputError
from progressive_tf.models.precision import built_for, set_precision
from progressive_tf.plan.loading import load_plan
from progressive_tf.training import hardware
from progressive_tf.training.hardware import Hardware, check_batch_sizes, prepare


def plan(**defaults: Any) -> dict[str, Any]:
    changed = small_plan({"name": "one", "data": {"take": 40}})
    changed["defaults"] |= defaults
    return changed


def two_devices() -> Hardware:
    return Hardware(("A10", "A10"), gpu=True, strategy=tf.distribute.MirroredStrategy(["CPU:0"]))


def test_preparing_twice_finds_the_same() -> None:
    found = prepare()
    assert found == prepare()
    assert found.replicas == 1
    assert found.devices[0].startswith("CPU with ")
    assert not found.xla


@pytest.mark.parametrize("cap", ["SSE41", "avx2"])
def test_bfloat16_is_refused_where_it_would_end_the_process(cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if not prepare().gpu:
        with pytest.raises(InputError, match=r"mixed_bfloat16: ONEDNN_MAX_CPU_ISA=\w+ takes away"):
            prepare("mixed_bfloat16")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert prepare("mixed_bfloat16").precision == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Hardware(("CPU with 2 cores",)), "CPU with 2 cores; float32; no XLA; one device"),
        (
            Hardware(("CPU with 1 core",), precision="mixed_float16"),
            "CPU with 1 core; mixed_float16 (slow without a GPU); no XLA; one device",
        ),
        (
            Hardware(("A10",), gpu=True, precision="mixed_float16"),
            "A10; mixed_float16; XLA; one device",
        ),
        (
            Hardware(("A10",), gpu=True, asked_to_mirror=True),
            "A10; float32; XLA; one device, because no other was found to mirror to",
        ),
        (
            Hardware(("A10", "A10", "L4"), gpu=True),
            "2 × A10, L4; float32; XLA; one device",
        ),
    ],
)
def test_one_line_says_what_was_found_and_what_is_used(found: Hardware, line: str) -> None:
    assert found.line == line


def test_variables_are_made_in_the_scope_of_the_strategy() -> None:
    with Hardware(("CPU",)).scope():
        assert not tf.distribute.has_strategy()
    with two_devices().scope():
        assert tf.distribute.has_strategy()


def test_a_batch_has_an_example_for_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hardware, "replicas", 4)
    path = str(tiny.write_plan(tmp_path, plan(batch_size=4)))
    check_batch_sizes(load_plan(path).plan, two_devices())
    with pytest.raises(InputError, match=r"stages\[0\].batch_size: 3 asked, .* over 4 devices; raise it to 4 or more"):
        check_batch_sizes(load_plan(path, ["defaults.batch_size=3"]).plan, two_devices())


def test_a_run_says_what_it_computes_on_and_goes_on_where_there_is_nothing_to_mirror_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    finished = place.run(tiny.of_table(plan(distribute="mirrored", epochs=1)))
    line = prepare(distribute="mirrored").line
    assert line.endswith("; one device, because no other was found to mirror to")
    assert place.said[0].count(line) == 1
    environment = json.loads((finished.run / "environment.json").read_text(encoding="utf-8"))
    assert environment["hardware"] == line
    assert finished.promoted


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_compiled_steps_train_as_others_do(
    make_network: Callable[..., Any],
    make_examples: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """Texts in float32; a scaled loss, where a step depends on the gradients, on numbers."""
    settings = stage(
        precision=precision,
        epochs=1,
        adaptation={"method": "top-blocks", "blocks": 1},
        block_decay=2.0,
        optimizer={"name": "adamw", "learning_rate": 0.01, "clip_norm": 1.0},
    )
    losses = []
    for compiled in (False, True):
        monkeypatch.setattr(hardware, "uses_xla", lambda compiled=compiled: compiled)
        with built_for(precision):
            network = make_network(layers=1) if precision == "float32" else dense_network()
        set_precision(network, "float32")
        for layer in network._flatten_layers():
            if isinstance(layer, tf.keras.layers.Dropout):
                layer.rate = 0.0
        make = make_examples if precision == "float32" else rows_of_numbers
        fitted = fit(network, settings, make(network, depth=1), tmp_path / str(compiled))
        losses.append([fitted.history[0][measure] for measure in ("loss", "val_loss")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5 if precision == "float32" else 1e-2)
