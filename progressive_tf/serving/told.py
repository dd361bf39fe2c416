"""What callers are told of an error: the log has where files lie, and they have not."""

from __future__ import annotations

import re
from pathlib import Path

# From the root, with folders that may have spaces in their names.
_ABSOLUTE = re.compile(r"""(?<![\w/.])/(?=[^\s/])(?:(?:[^'"(),;:=\n/]*[^\s'"(),;:=/])?/)*([^\s'"(),;:=/]*)""")
# A file in a folder: its name has a dot, which RUN/STAGE and application/json have not.
_RELATIVE = re.compile(r"""(?<![^\s'"(),;:=])(?:[^\s'"(),;:=/]+/)+([^\s'"(),;:=/]*\w\.\w[^\s'"(),;:=/]*)""")


def told(error: Exception | str, *folders: Path) -> str:
    """Returns what is wrong with the names of files alone, without the folders that they lie in.

    Args:
        error: the words may have paths in them.
        folders: that they may begin with, and that may have spaces in their names.
    """
    message = str(error)
    for folder in folders:
        for written in (str(folder.absolute()), str(folder)):
            message = message.replace(f"{written}/", "").replace(written, folder.name)
    message = _ABSOLUTE.sub(lambda found: found[1] or "a folder", message)
    return _RELATIVE.sub(lambda found: found[1], message)
