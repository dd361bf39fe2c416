"""Records the cases anew, all or those named: `.venv/bin/python tests/golden/make.py [CASE ...]`.

`old` among the names trains and packs the old runs anew, which nobody should do without need: old they are of use.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from progressive_tf.logs import quiet_tensorflow  # noqa: E402

quiet_tensorflow()  # before anything imports TensorFlow

import old  # noqa: E402
import plans  # noqa: E402
import records  # noqa: E402


def in_a_folder(do: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        return do(Path(folder).resolve())


def main() -> None:
    """Runs each case in a folder of its own."""
    names = sys.argv[1:] or [*plans.CASES, *(f"old-{name}" for name in old.OLD)]
    if "old" in names:
        in_a_folder(old.make)
        archive = old.archive_of(old.present())
        sys.stderr.write(f"{archive.name}: {archive.stat().st_size:,} bytes\n")
    for name in (name for name in names if name != "old"):
        begun = time.process_time()
        kind, _, rest = name.partition("-")
        if kind == "old":
            found = in_a_folder(lambda folder, rest=rest: old.follow(rest, folder))
        else:
            found = in_a_folder(lambda folder, name=name: records.record(plans.CASES[name], folder))
        path = records.write_record(name, found)
        spent = time.process_time() - begun
        sys.stderr.write(f"{path.name}: {path.stat().st_size:,} bytes, {spent:.1f} s of CPU\n")


if __name__ == "__main__":
    main()
