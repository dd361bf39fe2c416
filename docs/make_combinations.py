"""Writes docs/combinations.md: what works with which network, found out by running it.

    python docs/make_combinations.py [BUILDER ...]

Each cell is a plan of two stages on the generated samples whose second stage (or which as a whole) asks for the method.
It takes about twenty minutes; with names of builders it prints their columns and writes nothing.
"""

from __future__ import annotations

import copy
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from progressive_tf.logs import set_up_logging

TABLE = Path(__file__).with_name("combinations.md")
EXAMPLES = Path(__file__).with_name("examples")
PASSES = {"at_least": 0.0, "min_samples": 1}
WORKS = "yes"

BERT = {
    "task": "text-classification",
    "model": {
        "builder": "bert",
        "weights": None,
        "vocabulary": "sample-vocabulary",
        "max_length": 16,
        "config": {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
    },
    "data": {"source": "sample-reviews", "task": "source"},
    "stages": {"take": 40},
}
TAGGER = {
    "task": "token-classification",
    "metric": "entity_f1",
    "model": {**BERT["model"], "builder": "bert-tagger", "vocabulary": "sample-entities-vocabulary"},
    "data": {"source": "sample-entities", "task": "source"},
    "stages": {"take": 40},
}
IMAGES = {"task": "image-classification", "data": {"source": "sample-shapes", "task": "ground"}, "stages": {"take": 30}}
BUILDERS: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "resnet50": {**IMAGES, "model": {"builder": "resnet50", "weights": None}, "defaults": {"image_size": 16}},
    "mlp": {
        "task": "tabular-classification",
        "model": {"builder": "mlp", "units": 8},
        "data": {"source": "digits", "task": "pair"},
        "stages": {"take": 60},
    },
    "bert-tagger": TAGGER,
    "bert-tagger, CRF": {**TAGGER, "defaults": {"crf": True}},
    "t5": {
        "task": "translation",
        "metric": "exact_match",
        "model": {
            "builder": "t5",
            "weights": None,
            "max_length": 48,
            "max_target_length": 48,
            "beams": 1,
            "config": {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_heads": 2, "num_layers": 2, "num_decoder_layers": 2},
        },
        "data": {"source": "sample-numbers", "task": "kind"},
        "stages": {"take": 40},
    },
    "one's own": {**IMAGES, "model": {"builder": "small_convnet:build"}, "defaults": {"image_size": 16}},
}

HALVES = {
    "digits": (["0", "1", "2"], ["3", "4"]),
    "sample-shapes": (["circle", "square"], ["triangle"]),
}
# A true class, and an answer that costs something.
MISTAKES = {"digits": ("0", "1"), "sample-shapes": ("circle", "square")}
USUAL_MISTAKE = "negative", "positive"


def adaptation(**settings: Any) -> dict[str, Any]:
    """Returns changes that let the second stage move weights in another way."""
    return {"second": {"adaptation": settings}}


def retention(**settings: Any) -> dict[str, Any]:
    """Returns changes that let the second stage remember."""
    return {"second": {"retention": settings}}


COMBINATIONS: dict[str, Mapping[str, Any]] = {
    "`adaptation: full`": adaptation(method="full"),
    "`head`": adaptation(method="head"),
    "`top-blocks`": adaptation(method="top-blocks", blocks=1),
    "`gradual`": {"second": {"adaptation": {"method": "gradual", "epochs_per_phase": 1}, "epochs": 8}},
    "`bitfit`": adaptation(method="bitfit"),
    "`lora`": adaptation(method="lora", rank=2),
    "`adapter`": adaptation(method="adapter", size=2),
    "`prompt`": adaptation(method="prompt", length=3),
    "`slda`": adaptation(method="slda"),
    "`prototypes`": adaptation(method="prototypes"),
    "`block_decay`": {"second": {"block_decay": 2.0}},
    "`retention: replay`": retention(replay={"budget": 10}),
    "`ewc`": retention(ewc={"strength": 1.0, "samples": 8}),
    "`ewc: {fisher: empirical}`": retention(ewc={"strength": 1.0, "samples": 8, "fisher": "empirical"}),
    "`lwf`": retention(lwf={}),
    "`distill`": retention(distill={"teacher": "stable"}),
    "`average: ema`": retention(average={"kind": "ema"}),
    "`average: wise-ft`": retention(average={"kind": "wise-ft"}),
    "`average: soup`": retention(average={"kind": "soup"}),
    "`average: ensemble`": retention(average={"kind": "ensemble"}),
    "`objective: contrastive`": {"second": {"objective": {"name": "contrastive", "epochs": 1}}},
    "`augmentation`": {"second": {"augmentation": {"flip": True}}},
    "`image_size` per stage": {"second": {"image_size": 24}},
    "`precision: mixed_bfloat16`": {"defaults": {"precision": "mixed_bfloat16"}},
    "`pooling: pooler`": {"defaults": {"pooling": "pooler"}},
    "`scenario: domain-incremental`": {"scenario": "domain-incremental"},
    "`scenario: class-incremental`": {"scenario": "class-incremental"},
    "`scenario: task-incremental`": {"scenario": "task-incremental"},
    "`unknown_inputs`": {"plan": {"unknown_inputs": {}}},
    "`calibrate: temperature`": {"defaults": {"calibrate": "temperature"}},
    "`abstain`": {"defaults": {"abstain": {"error_at_most": 0.9, "confidence": 0.6}}},
    "`costs`": {"costs": 5.0},
    "`labels` in the second stage": {"renamed": "another name"},
}


def plan_of(builder: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plan of two stages."""
    base = copy.deepcopy(BUILDERS[builder])
    scenario = changes.get("scenario", "data-incremental")
    rows: list[dict[str, Any]] = [dict(base["stages"]), {"take_new": base["stages"]["take"]}]
    task = base["data"].pop("task")
    if scenario == "task-incremental":
        base["data"]["task"] = task
    if scenario == "class-incremental":
        halves = HALVES.get(base["data"]["source"])
        rows = [{"classes": half} for half in halves] if halves else [{"all": True}, {"all": True}]
    true, answer = MISTAKES.get(base["data"]["source"], USUAL_MISTAKE)
    costs = {"costs": {true: {answer: changes["costs"]}}} if "costs" in changes else {}
    split = {"validation": 0.1, "gate": 0.2, "test": 0.1}
    quality = dict.fromkeys(["label_noise", "duplicates", "leakage"])
    second = copy.deepcopy({"name": "second", "data": rows[1], **changes.get("second", {})})
    if "renamed" in changes:
        second["labels"] = {"rename": {true: changes["renamed"]}}
    if builder == "mlp" and second.get("adaptation", {}).get("method") == "lora":
        second["adaptation"]["targets"] = ["dense"]
    return {
        "name": "combination",
        "task": base["task"],
        "scenario": scenario,
        **changes.get("plan", {}),
        **costs,
        "seed": 1,
        "model": base["model"],
        "data": {**base["data"], "split": split, "quality": quality},
        "defaults": {
            "epochs": 1,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "schedule": "constant",
            "early_stopping": None,
            "adaptation": {"method": "full"},
            "gate": [{"metric": base.get("metric", "accuracy"), **PASSES}],
            **base.get("defaults", {}),
            **changes.get("defaults", {}),
        },
        "stages": [{"name": "first", "data": rows[0]}, second],
    }


def outcome(builder: str, changes: Mapping[str, Any]) -> str:
    """Returns "yes", or why it is refused, without where in the plan."""
    from progressive_tf.display import Display
    from progressive_tf.errors import InputError
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.reading import to_yaml
    from progressive_tf.training.run_plan import run_plan

    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="combination-") as name:
        os.chdir(name)
        try:
            Path("plan.yaml").write_text(to_yaml(plan_of(builder, changes)), encoding="utf-8")
            display = Display(Console(file=io.StringIO()))
            finished = run_plan(load_plan("plan.yaml"), Path("runs"), Path("registry"), True, display)
        except InputError as error:
            return re.sub(r"^(plan\.yaml: )?(stages\[\d\]\.|defaults\.)?", "", str(error).splitlines()[-1].strip())
        finally:
            os.chdir(before)
    return WORKS if finished.promoted else "not promoted"


def table(builders: list[str]) -> str:
    """Runs everything and returns the table, with a note for every refusal."""
    lines = [f"| | {' | '.join(builders)} |", f"|---|{'---|' * len(builders)}"]
    notes: dict[str, int] = {}
    for name, changes in COMBINATIONS.items():
        cells = []
        for builder in builders:
            found = outcome(builder, changes)
            sys.stderr.write(f"{name}, {builder}: {found}\n")
            cells.append(WORKS if found == WORKS else f"no ({notes.setdefault(found, len(notes) + 1)})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in notes.items())])


def main() -> None:
    """Writes the page, or prints some columns."""
    set_up_logging(verbose=False)
    sys.path.append(str(EXAMPLES))
    chosen = sys.argv[1:] or list(BUILDERS)
    found = table(chosen)
    if sys.argv[1:]:
        sys.stdout.write(f"{found}\n")
        return
    head = (
        "# What works with what\n\n"
        "<!-- Written by docs/make_combinations.py, which runs every cell; run it again. -->\n\n"
        "Each cell is a plan of two stages that was run, with the method in its second stage. What is refused is\n"
        "refused before anything is trained, with the reason below. *one's own* is the small convolutional network of\n"
        "[a builder of your own](guides/your-own-builder.md).\n\n"
    )
    TABLE.write_text(f"{head}{found}\n", encoding="utf-8")
    sys.stdout.write(f"{TABLE}\n")


if __name__ == "__main__":
    main()
