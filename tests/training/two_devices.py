"""Trains tiny networks on one and over two logical CPU devices, and prints as JSON how far the results lie apart.

A script, because TensorFlow divides its devices only before it is first used: `python two_devices.py FOLDER`.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

from progressive_tf.logs import quiet_tensorflow  # noqa: E402

quiet_tensorflow()

import fitting  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import tensorflow as tf  # noqa: E402
import tiny  # noqa: E402
from fitting import Killed, StoppingDisplay, comparable, same, stage, values  # noqa: E402
from releasing import Place, small_plan, stage_folder  # noqa: E402
from test_images_in_runs import image_plan, make_place  # noqa: E402

from progressive_tf.models.bert import bert  # noqa: E402
from progressive_tf.models.block_model import BlockModel  # noqa: E402
from progressive_tf.models.precision import FLOAT32, built_for, set_precision  # noqa: E402
from progressive_tf.models.request import Request  # noqa: E402
from progressive_tf.plan.networks import Bert  # noqa: E402
from progressive_tf.registry.store import Registry  # noqa: E402
from progressive_tf.training import hardware  # noqa: E402
from progressive_tf.training.answers.exported import export_saved_model  # noqa: E402
from progressive_tf.training.answers.served_classes import predict_exported  # noqa: E402

TEXTS = tiny.sentences(20)[0]
ODD = 41  # in batches of 8 the last has one example: less than one for each device

# The network, blocks whose outputs are kept, and the stage. Tables of embeddings, whose gradients are slices, have only
# the texts.
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "everything, clipped, token budget": (
        "texts",
        0,
        {
            "batch_size": {"tokens": 100},
            "epochs": 2,
            "optimizer": {"name": "adam", "learning_rate": 0.01, "clip_norm": 0.1},
        },
    ),
    "head on kept outputs": (
        "numbers",
        2,
        {"epochs": 2, "adaptation": {"method": "head"}, "loss": {"name": "focal"}},
    ),
    "optimizers per block": (
        "numbers",
        1,
        {
            "adaptation": {"method": "top-blocks", "blocks": 1},
            "block_decay": 2.6,
            "epochs": 5,
            "optimizer": {"name": "adamw", "learning_rate": 0.1, "clip_norm": 0.5},
            "schedule": {"name": "plateau", "patience": 1},
        },
    ),
    "pairs of a batch, lamb, running averages": (
        "numbers",
        0,
        {
            "batch_size": 7,
            "epochs": 2,
            "objective": {"name": "contrastive", "epochs": 1, "learning_rate": 0.01},
            "optimizer": {"name": "lamb", "learning_rate": 0.01},
            "retention": {"average": {"kind": "ema", "decay": 0.9}},
        },
    ),
    "mixed_float16": ("numbers", 0, {"epochs": 1, "precision": "mixed_float16"}),
}


def network_of_texts(folder: Path) -> BlockModel:
    """Returns one layer of BERT without dropout."""
    config = tiny.CONFIG | {"num_hidden_layers": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=config, dropout=0.0)
    tiny.write_vocabulary(folder)
    return bert.build(Request(model, tiny.LABELS, 3, folder))


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        weights: by name.
        fitted: what `fit` returned.
        served: how far an exported network of texts is from that over two devices, at most.
    """

    weights: dict[str, np.ndarray]
    fitted: Any
    served: float


def train(
    folder: Path,
    distribute: str,
    case: tuple[str, int, Any],
    dropout: float = 0.0,
    stop_in: int | None = None,
) -> Trained:
    """Trains a network; a fit in the same folder goes on where it was stopped."""
    inputs, depth, settings = case
    found = hardware.prepare(settings.precision, distribute)
    assert found.replicas == (2 if distribute == "mirrored" else 1)
    folder.mkdir(exist_ok=True)
    served = math.nan
    with found.scope():
        with built_for(settings.precision):
            network = network_of_texts(folder) if inputs == "texts" else fitting.dense_network(dropout)
        set_precision(network, FLOAT32)
        if inputs == "texts":
            examples = tiny.make_examples(folder, network, depth=depth)
        else:
            examples = fitting.rows_of_numbers(network, depth=depth)
        display = fitting.quiet() if stop_in is None else StoppingDisplay(stop_in)
        fitted = fitting.fit(network, settings, examples, folder / "fit", display, train=ODD)
        for weight in network.named_weights():
            copies = tf.distribute.get_strategy().experimental_local_results(weight.variable)
            assert len(copies) == found.replicas
            assert all(np.array_equal(copies[0], copy) for copy in copies), f"{weight.name} differs between devices"
        if inputs == "texts" and distribute == "mirrored":
            export_saved_model(network, folder / "exported")
            answers = tf.nn.softmax(network(network.preprocess(tf.constant(TEXTS)))).numpy()
    if inputs == "texts" and distribute == "mirrored":
        served = float(np.abs(predict_exported(folder / "exported", TEXTS) - answers).max())
    return Trained(values(network), fitted, served)


def difference(folder: Path, inputs: str, depth: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the largest differences between one device and two."""
    case = inputs, depth, stage(**changes)
    one, two = (train(folder / name, name, case) for name in ("none", "mirrored"))
    histories = one.fitted.history, two.fitted.history
    rates = [[row["learning_rate"] for row in history] for history in histories]
    losses = [[row["loss"] for row in history] for history in histories]
    return {
        "weights": max(float(np.abs(one.weights[name] - two.weights[name]).max()) for name in one.weights),
        "losses": float(np.abs(np.subtract(*losses)).max()),
        "rates": rates,
        "served": two.served,
    }


def resumed_as_left_alone(folder: Path) -> bool:
    """Whether a mirrored fit with dropout that was stopped ends with the bits of one left alone."""
    settings = stage(
        block_decay=2.0, optimizer={"name": "adam", "learning_rate": 0.1}, schedule={"name": "plateau", "patience": 1}
    )
    case = "numbers", 0, settings
    alone = train(folder / "whole", "mirrored", case, dropout=0.2)
    try:
        train(folder / "stopped", "mirrored", case, dropout=0.2, stop_in=2)
    except Killed:
        again = train(folder / "stopped", "mirrored", case, dropout=0.2)
        kept = same(again.weights, alone.weights)
        return kept and comparable(again.fitted.history) == comparable(alone.fitted.history)
    return False


def run_of_plans(folder: Path) -> dict[str, Any]:
    """Runs a plan of two stages on one device and over two, and serves what the latter released."""
    judged = []
    for distribute in ("none", "mirrored"):
        place = Place(folder / distribute)
        place.folder.mkdir(parents=True)
        lora = {"method": "lora", "rank": 2, "targets": ["dense"]}
        plan = tiny.of_table(
            small_plan(
                {"name": "one", "data": {"take": 40}, "adaptation": lora},
                {"name": "two", "data": {"take": 80}, "adaptation": {"method": "top-blocks", "blocks": 1}},
            )
        )
        plan["model"] |= {"dropout": 0.0}
        plan["defaults"] |= {"distribute": distribute}
        finished = place.run(plan, releases=distribute == "mirrored")
        judged.append(pd.read_parquet(stage_folder(finished.run, "two") / "predictions.parquet"))
    probabilities = [np.stack(table["probabilities"].to_list()) for table in judged]
    version = Registry(place.folder / "registry").model("tiny").version(2)
    cells = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]].to_numpy()
    served = predict_exported(version.folder, cells[judged[1]["row"] - 1].tolist())
    plan["seed"] += 1  # another run, which is compared with what the first one released
    place.run(plan, stages=1)
    return {
        "compared": "comparing with version 2, which another run released" in place.said[-1],
        "probabilities": float(np.abs(np.subtract(*probabilities)).max()),
        "served": float(np.abs(served - probabilities[1]).max()),
        "line": next(line for line in place.said[0].splitlines() if line.startswith("hardware:")),
    }


def images_over_two(folder: Path) -> dict[str, float]:
    """Trains on images, with statistics of batches, over two devices; serves what was released."""
    place = make_place(folder)
    plan = image_plan({"name": "one", "data": {"take": 75}})
    plan["defaults"] |= {"distribute": "mirrored", "cache": {"dtype": "float32"}}
    finished = place.run(plan)
    judged = pd.read_parquet(stage_folder(finished.run, "one") / "predictions.parquet")
    probabilities = np.stack(judged["probabilities"].to_list())
    files = [(folder / "shapes" / path).read_bytes() for path in judged["text"]]
    version = Registry(folder / "registry").model("pictures").version(1)
    return {"served": float(np.abs(predict_exported(version.folder, files) - probabilities).max())}


def main(folder: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        (folder / name).mkdir()
        results[name] = difference(folder / name, *case)
    (folder / "resumed").mkdir()
    results["resumed"] = resumed_as_left_alone(folder / "resumed")
    results["plans"] = run_of_plans(folder / "plans")
    (folder / "images").mkdir()
    results["images"] = images_over_two(folder / "images")
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
