"""The guide's example runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "python.md"


@pytest.mark.slow
def test_the_guides_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(GUIDE), "exec"), names)
    said = capsys.readouterr().out
    assert "True promote: the one comparison passed" in said
    assert "probability/positive" in said
    assert "after beta" in said
    assert len(names["versions"]) == 2  # type: ignore[arg-type]


def test_every_notebook_is_listed() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for notebook in (GUIDE.parents[2] / "notebooks").glob("*.ipynb"):
        assert f"`{notebook.stem}`" in guide
