"""The tables that `python -m progressive_tf.assets list` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table

from progressive_tf.assets.entry import Asset
from progressive_tf.assets.places import FOLDERS_VARIABLE, find_place, missing_files
from progressive_tf.output import ByWidth

_HERE = {"own": f"in {FOLDERS_VARIABLE}", "installed": "installed", "samples": "in data_samples/", "cache": "cached"}


def whereabouts(asset: Asset) -> str:
    """Returns in a few words where an asset stands; hashes are not looked at."""
    place = find_place(asset)
    if place is None:
        kind = asset.files[0].sources[0].kind
        return {"installed": "not installed", "samples": "missing"}.get(kind, "to fetch")
    incomplete = missing_files(asset, place.folder)
    return _HERE[place.kind] + (f", {len(incomplete)} files missing" if incomplete else "")


def size(count: int) -> str:
    """Returns a number of bytes as people read it, in MB or kB."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def assets_table(assets: Iterable[Asset]) -> ByWidth:
    """Returns one row per asset: name, kind, task, size, licence, where; on a narrow terminal in two lines."""
    listed = list(assets)
    wide = _table("name", "kind", "task", "size", "licence", "where")
    narrow = _table("name", "kind, size,\ntask", "licence,\nwhere")
    for asset in listed:
        where, takes = whereabouts(asset), size(asset.bytes)
        wide.add_row(asset.name, asset.kind, asset.task, takes, asset.licence, where)
        narrow.add_row(asset.name, f"{asset.kind}, {takes}\n{asset.task}", f"{asset.licence}\n{where}")
    return ByWidth(wide, narrow)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    return table


def source_lines(assets: Iterable[Asset]) -> Iterator[str]:
    """Yields for each file of each asset its name and hash, and then where it comes from, first choice first."""
    for asset in assets:
        for file in asset.files:
            yield f"{asset.name}/{file.name}  sha256 {file.sha256}"
            for source in file.sources:
                yield f"    {source}"
