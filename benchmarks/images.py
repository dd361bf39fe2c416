"""Images on ResNet50: what the prefix cache saves beside stock Keras, and what opening conv5 gains over a frozen probe.

`cache` trains a head over a frozen ResNet50 at 224 px, on as many generated images and epochs on both sides: our stage
begins with an empty cache and computes the frozen blocks once, `Model.fit` with the same frozen base (random weights,
the same optimizer and batch size) computes them in every epoch. One process each, one after the other.

`transfer` runs the plan seed-resnet-offline, its last stage in four ways: a frozen probe, conv5 open, and conv5 open
with the adaptive schedule, or distilled from the stage before. Test rows of digits; the plan's settings were chosen on
validation rows with seed 7.

Command: python -m benchmarks.images cache [--images 100] [--epochs 20]
         python -m benchmarks.images transfer [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.remembering import spread
from progressive_tf.files import read_json
from progressive_tf.logs import set_up_logging

SIZE, BATCH_SIZE, CLASSES = 224, 32, 4
VALIDATION = 8
HERE = Path(__file__).resolve().parent.parent
LARGE = "stages.large"
VARIANTS: dict[str, Sequence[str]] = {
    "frozen probe": [f"{LARGE}.adaptation={{method: head}}", f"{LARGE}.augmentation=null"],
    "conv5 open": [],
    "conv5 open, adaptive rate": [f"{LARGE}.schedule=adaptive"],
    "conv5 open, distilled": [f"{LARGE}.retention={{distill: {{teacher: stable, strength: 0.5}}}}"],
}


def main() -> None:
    """Prints one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["cache", "transfer", "ours", "stock"])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options = parser.parse_args()
    if options.part == "transfer":
        transfer(options.seeds)
    elif options.part == "cache":
        cache(options.images, options.epochs)
    else:
        set_up_logging(verbose=False)
        side = ours if options.part == "ours" else stock
        with tempfile.TemporaryDirectory(prefix="images-") as name:
            os.chdir(name)
            print(json.dumps(side(options.images, options.epochs)))
            os.chdir("/")


def cache(images: int, epochs: int) -> None:
    """Prints seconds of both sides."""
    seconds = {}
    for side in ("ours", "stock"):
        command = [sys.executable, "-m", "benchmarks.images", side, "--images", str(images), "--epochs", str(epochs)]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        seconds[side] = float(json.loads(done.stdout.splitlines()[-1]))
        print(f"{side}: {seconds[side]:.1f} s", file=sys.stderr, flush=True)
    print(f"{images} images of {SIZE} px, {epochs} epochs of the head: ours {seconds['ours']:.1f} s,", end=" ")
    print(f"stock Keras {seconds['stock']:.1f} s, {seconds['stock'] / seconds['ours']:.1f} times as long")


def generated(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 [images, 224, 224, 3] and int labels: noise around a grey that the class fixes."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % CLASSES
    noise = generator.integers(0, 40, [images, SIZE, SIZE, 3])
    return (noise + labels[:, None, None, None] * 50).astype(np.uint8), labels


def ours(images: int, epochs: int) -> float:
    """Returns the seconds of a stage over frozen blocks, reading of the files aside."""
    import tensorflow as tf

    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.reading import to_yaml
    from progressive_tf.training.run_plan import Options, run_plan

    pixels, labels = generated(images + VALIDATION * 3)
    for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = Path("generated") / f"class-{label}" / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    plan = {
        "name": "cache",
        "task": "image-classification",
        "seed": 1,
        "model": {"builder": "resnet50", "weights": None},
        "data": {
            "source": "generated",
            "split": {"validation": VALIDATION, "gate": VALIDATION, "test": VALIDATION},
            "quality": dict.fromkeys(["duplicates", "label_noise", "leakage", "conflicting_labels"]),
        },
        "stages": [
            {
                "name": "head",
                "data": {"all": True},
                "image_size": SIZE,
                "epochs": epochs,
                "batch_size": BATCH_SIZE,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": "constant",
                "early_stopping": None,
                "adaptation": {"method": "head"},
                "gate": [{"metric": "accuracy", "at_least": 0.0, "min_samples": 1}],
            }
        ],
    }
    Path("plan.yaml").write_text(to_yaml(plan), encoding="utf-8")
    display = Display(Console(file=io.StringIO()))
    finished = run_plan(load_plan("plan.yaml"), Path("runs"), Path("registry"), True, display, Options(releases=False))
    seconds = read_json(finished.run / "stages" / "01-head" / "metrics.json")["seconds"]
    return float(seconds["prefix"] + seconds["fit"])


def stock(images: int, epochs: int) -> float:
    """Returns the seconds of `Model.fit` over the same images, with a frozen base."""
    import tensorflow as tf

    pixels, labels = generated(images)
    base = tf.keras.applications.ResNet50(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg")
    base.trainable = False
    inputs = tf.keras.Input([SIZE, SIZE, 3], dtype=tf.uint8)
    prepared = tf.keras.applications.resnet.preprocess_input(tf.cast(inputs, tf.float32))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(CLASSES)(base(prepared, training=False)))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.legacy.Adam(1e-3), loss)
    rows = tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(images, seed=1).batch(BATCH_SIZE).prefetch(2)
    beside = (pixels[:VALIDATION], labels[:VALIDATION])
    started = time.perf_counter()
    model.fit(rows, validation_data=beside, epochs=epochs, verbose=0)
    return time.perf_counter() - started


def transfer(seeds: Sequence[int]) -> None:
    """Prints the accuracy of each way to train the last stage, and its gain over the frozen probe."""
    results: dict[str, list[float]] = {name: [] for name in VARIANTS}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="images-") as name:
        os.chdir(name)
        for seed in seeds:
            work, before = Path("work"), Path("before")
            run_offline(seed, 2, [], work)
            work.rename(before)
            for variant, settings in VARIANTS.items():
                shutil.copytree(before, work)  # a run knows where its registry stands
                results[variant].append(run_offline(seed, 3, settings, work))
                shutil.rmtree(work)
                print(f"seed {seed}, {variant}: {results[variant][-1]:.3f}", file=sys.stderr, flush=True)
            shutil.rmtree(before)
        os.chdir("/")
    probe = np.array(results["frozen probe"])
    table = Table("last stage", "accuracy", "gain over the probe", title=f"digits, test rows, mean ± sd, seeds {seeds}")
    for variant, found in results.items():
        table.add_row(variant, spread(found), spread((np.array(found) - probe).tolist()))
    Console().print(table)
    print(f"{(time.perf_counter() - started) / 60:.1f} min in all")


def run_offline(seed: int, stages: int, settings: Sequence[str], folder: Path) -> float:
    """Runs the first stages of seed-resnet-offline in a folder; returns the accuracy on digits' test rows."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan

    loaded = load_plan("seed-resnet-offline", [f"seed={seed}", *settings], stages=stages)
    display = Display(Console(file=io.StringIO()))
    run = run_plan(loaded, folder / "runs", folder / "registry", False, display).run
    return float(read_json(run / "matrix.json")["test"][-1][-1])


if __name__ == "__main__":
    main()
