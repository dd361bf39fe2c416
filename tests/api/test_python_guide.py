"""The guide to Python names every notebook; its example is typed in tests/documentation/test_walkthroughs.py."""

from __future__ import annotations

from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "python.md"


def test_every_notebook_is_listed() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for notebook in (GUIDE.parents[2] / "notebooks").glob("*.ipynb"):
        assert f"`{notebook.stem}`" in guide
