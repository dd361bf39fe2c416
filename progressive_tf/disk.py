"""What is said where the disk refuses what is written: it is full, it failed, or it may not be written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from progressive_tf.errors import InputError, ProgressiveError

_FREE = "free some space"
_ALLOW = "check its owner and permissions"
_ADVICE = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: "raise the limit of how large a file may be (ulimit -f)",
    errno.EROFS: "allow writing there, or choose another folder",
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.EIO: "check the disk",
    errno.ENOTDIR: "move what is in the way, or choose another folder",
    errno.EISDIR: "move what is in the way, or choose another name",
}
_OTHERWISE = "choose another folder"
# Libraries put the system's words into errors of their own: safetensors, TensorFlow, pyarrow, HDF5.
_OF_LIBRARIES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_IN_WORDS = {os.strerror(code): code for code in _OF_LIBRARIES}
_CODE = re.compile(r"\b(?:os error|errno|code:?)[ =:]*(\d+)", re.IGNORECASE)


class WriteError(ProgressiveError, OSError):
    """Something cannot be written; an OSError too, with its `errno` and `strerror`.

    Args:
        place: what could not be written.
        code: the system's number of the reason.
        kept: what is kept of the work and how it goes on, as the rest of a sentence; "" where nothing was begun.
    """

    def __init__(self, place: str | os.PathLike[str], code: int, kept: str = "") -> None:
        message = f"{os.fspath(place)}: cannot be written: {os.strerror(code)}; {_ADVICE.get(code, _OTHERWISE)}"
        super().__init__(message + (f"; {kept}" if kept else ""))
        self.place = os.fspath(place)
        self.code = self.errno = code
        self.strerror = os.strerror(code)

    def __str__(self) -> str:
        return str(self.args[0])


def refusal(error: BaseException) -> int | None:
    """Returns the system's number of the reason for which a disk refused to be written, or None for other errors."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _ADVICE else None
    if isinstance(error, ProgressiveError):
        return None
    message = str(error)
    code_in_words = next((code for words, code in _IN_WORDS.items() if words in message), None)
    numbered = _CODE.search(message)
    return code_in_words if code_in_words or numbered is None or int(numbered[1]) not in _ADVICE else int(numbered[1])


@contextlib.contextmanager
def writing(place: Path, kept: str = "") -> Iterator[None]:
    """Turns what the disk refuses in the block into one error that says where, why and what to do.

    Args:
        place: what is written; the file that the error names, if it names one, is said instead.
        kept: see `WriteError`.

    Raises:
        WriteError: the disk refuses.
    """
    try:
        yield
    except Exception as error:
        code = refusal(error)
        if code is None and isinstance(error, FileNotFoundError) and _is_made_for(place, error.filename):
            code = errno.ENOENT  # a folder in which nothing can be made, as /proc
        if code is None:
            raise
        if isinstance(error, WriteError):
            named: str | os.PathLike[str] | None = error.place
        else:
            named = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else None
        raise WriteError(named or place, code, kept) from error


def refuse_unwritable(target: Path, option: str) -> None:
    """Makes sure that a file or a folder can be made, by making one beside it that goes at once.

    Args:
        target: what will be written; folders above it may be missing.
        option: by which it was asked for.

    Raises:
        InputError: the disk refuses.
    """
    folder = next((above for above in target.absolute().parents if os.path.lexists(above)), Path())
    try:
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=folder).cleanup()
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, _OTHERWISE)
        raise InputError(f"{option} {target}: cannot be written: {error.strerror}; {advice}") from None


def _is_made_for(place: Path, named: object) -> bool:
    """Returns whether a path is that of a file, a folder above it, or a temporary name beside it."""
    if not isinstance(named, str):
        return False
    path = Path(named)
    return path in (place, *place.parents) or (path.parent == place.parent and path.name.startswith(f".{place.name}."))
