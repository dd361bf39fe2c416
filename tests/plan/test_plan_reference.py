from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel
from script_module import load_script

from progressive_tf.plan.loading import load_plan, shipped_plans
from progressive_tf.plan.schema import Plan

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(DOCS / "make_plan_reference.py")


@pytest.fixture(scope="module")
def reference(script: ModuleType) -> str:
    return script.reference()


def test_the_reference_is_current(reference: str) -> None:
    written = (DOCS / "plan.md").read_text(encoding="utf-8")
    assert written == reference, "run `python docs/make_plan_reference.py`"


def test_a_key_without_a_meaning_is_refused(script: ModuleType) -> None:
    schema = Plan.model_json_schema()
    models = {"Plan": schema, **schema["$defs"]}
    models["Cache"]["properties"]["folder"] = {"type": "string"}
    with pytest.raises(ValueError, match=r"missing \['Cache.folder'\]"):
        script.check_meanings(models)


def test_a_meaning_without_a_key_is_refused(script: ModuleType) -> None:
    schema = Plan.model_json_schema()
    models = {"Plan": schema, **schema["$defs"]}
    del models["Cache"]["properties"]["dtype"]
    with pytest.raises(ValueError, match=r"superfluous \['Cache.dtype'\]"):
        script.check_meanings(models)


@pytest.mark.parametrize("name", shipped_plans())
def test_every_key_of_a_shipped_plan_is_in_the_reference(reference: str, name: str) -> None:
    for key in _keys(load_plan(name).plan):
        assert f"| `{key}` |" in reference


def _keys(model: BaseModel) -> set[str]:
    found = set(type(model).model_fields)
    for value in dict(model).values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, BaseModel):
                found |= _keys(inner)
    return found
