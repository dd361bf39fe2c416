"""Runs the notebooks, or writes them from their text: `make notebooks` does the first.

    python scripts/notebooks.py                       # run all of them, as notebooks/*.ipynb have them
    python scripts/notebooks.py 01_three_stages       # one
    python scripts/notebooks.py --write               # write notebooks/*.ipynb from notebooks/*.py, without outputs

A notebook runs in notebooks/, where its runs and versions stay; outputs of frozen blocks are shared with the commands,
in cache/ of the project, so that a second time is faster. Exit code 1: a notebook ended with an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
CELL_SECONDS = 900
# Without a warning about unencrypted connections, which do not leave the machine.
KERNEL_ARGUMENTS = ["--log-level=ERROR"]


def texts() -> list[Path]:
    """Returns the text of each notebook, in order."""
    return sorted(FOLDER.glob("[0-9]*.py"))


def from_text(text: Path) -> nbformat.NotebookNode:
    """Returns the notebook that a text stands for, without outputs; the same text gives the same notebook."""
    notebook = jupytext.read(text)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def write(text: Path) -> Path:
    """Writes a notebook beside its text, and returns its path."""
    path = text.with_suffix(".ipynb")
    nbformat.write(from_text(text), path)
    return path


def execute(
    path: Path, folder: Path, seconds: float = CELL_SECONDS, kernel: AsyncKernelManager | None = None
) -> nbformat.NotebookNode:
    """Runs a notebook from top to bottom.

    Args:
        path: of the notebook, which stays as it is.
        folder: where it runs.
        seconds: the longest a cell may take.
        kernel: one that was started and goes on afterwards; one of its own by default.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: a cell ended with an error.
    """
    notebook = nbformat.read(path, as_version=4)
    if kernel is not None:
        _run(nbformat.v4.new_notebook(cells=[_begun_anew_in(folder)]), folder, seconds, kernel)
    return _run(notebook, folder, seconds, kernel)


def _run(
    notebook: nbformat.NotebookNode, folder: Path, seconds: float, kernel: AsyncKernelManager | None
) -> nbformat.NotebookNode:
    client = NotebookClient(
        notebook,
        kernel,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=KERNEL_ARGUMENTS,
    )
    try:
        return client.execute()
    finally:
        if kernel is not None and client.kc is not None:
            client.kc.stop_channels()


def _begun_anew_in(folder: Path) -> nbformat.NotebookNode:
    """Returns a cell after which no name of an earlier notebook is known, and another folder is the current one."""
    return nbformat.v4.new_code_cell(f"import os\nos.chdir({str(folder)!r})\n%reset -f")


def main() -> int:
    """Runs or writes what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks without their suffix; all by default")
    parser.add_argument("--write", action="store_true", help="write .ipynb files from .py files and stop")
    parser.add_argument("--outputs", type=Path, metavar="DIR", help="keep the notebooks with their outputs there")
    chosen = parser.parse_args()
    known = {text.stem: text for text in texts()}
    unknown = [name for name in chosen.names if name not in known]
    if unknown:
        parser.error(f"no notebook {unknown[0]!r}; known: {', '.join(known)}")
    failed = False
    for name in chosen.names or known:
        if chosen.write:
            print(write(known[name]))
            continue
        started = time.monotonic()
        try:
            notebook = execute(known[name].with_suffix(".ipynb"), FOLDER)
        except CellExecutionError as error:
            print(f"{name}: failed after {time.monotonic() - started:.0f} s\n{error}", file=sys.stderr)
            failed = True
            continue
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        if chosen.outputs is not None:
            os.makedirs(chosen.outputs, exist_ok=True)
            nbformat.write(notebook, chosen.outputs / f"{name}.ipynb")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
