from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_fakes import staged

from progressive_tf.errors import InputError
from progressive_tf.registry import Registry


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "a/b", "/etc", ".hidden", "a b", "a\n", "-x", "x" * 65, "a\0", "ü", "1\\2"]
)
def test_names_that_could_leave_the_registry_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected 1 to 64 letters"):
        Registry(tmp_path).model(name)


@given(st.text(max_size=80))
def test_whatever_the_name_a_model_lies_directly_in_the_registry(name: str) -> None:
    root = Path("/registry")
    try:
        path = Registry(root).model(name).files.path
    except InputError:
        return
    assert path.resolve().parent == root


def test_models_are_those_with_a_journal(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("tweets", "reviews"):
        registry.model(name).publish(staged("pilot", model=name))
    assert [model.name for model in registry.models()] == ["reviews", "tweets"]


def test_an_unknown_model_lists_the_known_ones(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.model("reviews").publish(staged("pilot"))
    with pytest.raises(InputError, match="unknown model 'review'; did you mean 'reviews'"):
        registry.existing_model("review")
    with pytest.raises(InputError, match="no registry here"):
        Registry(tmp_path / "nowhere").models()
