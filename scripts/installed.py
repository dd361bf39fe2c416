"""Compares what is installed with lock files, for scripts/setup: `python scripts/installed.py LOCK...`.

Prints one line that says what is there. Exit code 1: something of a lock is not there, and the names are printed.
"""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VENV = Path(sys.prefix).name


def pins(lock: Path) -> dict[str, str]:
    """Returns the version of each package in a lock file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def found(name: str) -> str | None:
    """Returns the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Runs the command."""
    wanted = {name: pin for lock in sys.argv[1:] for name, pin in pins(Path(lock)).items()}
    absent = [name for name, pin in wanted.items() if found(name) != pin]
    if found("progressive-tf") is None:
        absent.append("progressive-tf")
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        sys.exit(
            f"setup: pip ended well, but {shown} is not in {VENV} as locked; look for target, prefix or root in "
            f"`{VENV}/bin/python -m pip config list`, and run this again"
        )
    print(f"ready: {VENV} (Python {platform.python_version()}, {len(wanted)} locked packages, progressive_tf)")


if __name__ == "__main__":
    main()
