"""The guide for a builder of one's own shows the file that is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["small_convnet.py", "small_textnet.py", "keras_file.py"])
def test_the_guide_has_the_example_as_it_is(name: str) -> None:
    example = (DOCS / "examples" / name).read_text(encoding="utf-8")
    guide = (DOCS / "guides" / "your-own-builder.md").read_text(encoding="utf-8")
    assert f'```python title="{name}"\n{example}```' in guide
    code = [line for line in example.splitlines() if line.strip()]
    assert len(code) <= 45
