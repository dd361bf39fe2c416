"""Notebooks are stored without outputs, agree with their text, and run from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_module import load_script

ROOT = Path(__file__).parents[2]
TEXTS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    return load_script(ROOT / "scripts" / "notebooks.py")


@pytest.fixture(scope="module")
def kernel(notebooks: ModuleType) -> Iterator[Any]:
    """One for all notebooks, as what they import takes seconds."""
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import run_sync

    manager = AsyncKernelManager(kernel_name="python3")
    run_sync(manager.start_kernel)(
        extra_arguments=notebooks.KERNEL_ARGUMENTS, env=os.environ | {"NOTEBOOK_SIZE": "small"}
    )
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


def cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_each_notebook_has_its_text_and_each_text_its_notebook() -> None:
    assert len(TEXTS) >= 4
    assert [text.stem for text in TEXTS] == [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_notebook_and_text_agree_and_no_output_is_stored(text: Path, notebooks: ModuleType) -> None:
    import nbformat

    stored = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(stored)
    assert cells(stored) == cells(notebooks.from_text(text)), "run python scripts/notebooks.py --write"
    for cell in stored.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_writing_twice_writes_the_same(notebooks: ModuleType) -> None:
    assert notebooks.from_text(TEXTS[0]) == notebooks.from_text(TEXTS[0])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_a_notebook_runs_at_small_size(text: Path, notebooks: ModuleType, tmp_path: Path, kernel: Any) -> None:
    done = notebooks.execute(text.with_suffix(".ipynb"), tmp_path, kernel=kernel)
    shown = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert any("progressive-tf" in output.get("data", {}).get("text/html", "") for output in shown)
    said = [output for output in shown if output.output_type == "stream" and output.name == "stderr"]
    assert said == [], "a warning that a reader would see"


def test_an_error_in_a_cell_is_an_error(notebooks: ModuleType, tmp_path: Path) -> None:
    import nbformat
    from nbclient.exceptions import CellExecutionError

    cell = nbformat.v4.new_code_cell("from progressive_tf import Plan\nPlan.load('offlin')")
    path = tmp_path / "wrong.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(CellExecutionError, match="did you mean 'offline'") as raised:
        notebooks.execute(path, tmp_path)
    assert "Traceback" not in raised.value.traceback
