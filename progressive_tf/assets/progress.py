"""A progress bar on stderr for a fetch, drawn from what has arrived on the disk."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from progressive_tf.assets.entry import Asset, PackageMember
from progressive_tf.output import console, say

SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def watch(asset: Asset, folder: Path) -> Iterator[None]:
    """Shows how far the fetch of an asset into `folder` is; one plain line where stderr is no terminal.

    The size of the folder is what pip and a plain download have in common, so both are shown in the same way.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    total = expected_bytes(asset)
    if not screen.is_terminal:
        say(f"fetching {asset.name}, {total / 1e6:,.1f} MB")
        yield
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(asset.name, total=total)
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                progress.update(task, completed=min(folder_bytes(folder), total))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def expected_bytes(asset: Asset) -> int:
    """Returns how many bytes stand in the temporary folder when all is there: the artefacts and the files."""
    first = [file.sources[0] for file in asset.files]
    artefacts = {source.artefact for source in first if isinstance(source, PackageMember)}
    return asset.bytes + sum(artefact.bytes for artefact in artefacts)


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder that may change or vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
