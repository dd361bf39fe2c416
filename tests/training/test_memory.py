"""A process that runs plan after plan, as a sweep does, keeps none of their networks, graphs or rows."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import tiny
from releasing import Place

KEPT = ("BlockModel", "FuncGraph", "ConcreteFunction", "Examples", "InputStore")


def alive() -> Counter[str]:
    gc.collect()
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in KEPT)


def test_a_finished_run_leaves_nothing_behind(tmp_path: Path) -> None:
    plan = tiny.raw_plan()
    plan["model"] |= {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    plan["defaults"] |= {"epochs": 1}
    plan["stages"][1] |= {"adaptation": {"method": "head"}}  # on kept outputs
    before = alive()
    assert Place(tmp_path).run(plan).promoted
    assert alive() - before == Counter()
