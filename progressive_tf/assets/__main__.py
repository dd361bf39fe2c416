"""`python -m progressive_tf.assets`: list, fetch, find and verify data sets and weights."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console, only_prints

app = typer.Typer(
    help="List, fetch, find and verify the data sets and weights that a plan can name.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list")
def list_assets(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Only these.")] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="List each file instead: where from, and its hash.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """List assets: kind, task, size, licence, and where they stand."""
    from progressive_tf.assets.catalogue import catalogue, find
    from progressive_tf.assets.tables import assets_table, source_lines

    only_prints()
    chosen = [find(name) for name in names] if names else list(catalogue().values())
    if sources:
        sys.stdout.writelines(f"{line}\n" for line in source_lines(chosen))
        return
    console().print(assets_table(chosen))


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Names as `list` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every asset.")] = False,
    verbose: Verbose = False,
) -> None:
    """Fetch assets into the cache, and mend what is damaged there; prints each asset's folder."""
    from progressive_tf.assets.catalogue import catalogue, find
    from progressive_tf.assets.lookup import provide
    from progressive_tf.errors import InputError

    if everything == bool(names):
        raise InputError("give the names of assets, or --all for every one")
    wanted = list(catalogue().values()) if everything else [find(name) for name in names or []]
    for asset in wanted:
        sys.stdout.write(f"{provide(asset)}\n")


@app.command()
def path(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name as `list` shows it.")], verbose: Verbose = False
) -> None:
    """Print the folder of an asset that is here already; downloads nothing."""
    from progressive_tf.assets.lookup import locate

    only_prints()
    sys.stdout.write(f"{locate(name, download=False)}\n")


@app.command()
def verify(verbose: Verbose = False) -> None:
    """Check the hash of every file of every asset that is here; exit code 1 if one is damaged."""
    from progressive_tf.assets.catalogue import catalogue
    from progressive_tf.assets.places import damages, present_places

    damaged = 0
    for asset in catalogue().values():
        for place in present_places(asset):
            damaged_files = damages(asset, place.folder)
            damaged += bool(damaged_files)
            sys.stdout.write(f"{asset.name}: {'DAMAGED' if damaged_files else 'good'} in {place.folder}\n")
            for damage in damaged_files:
                sys.stdout.write(f"  {damage}\n")
    if damaged:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(app)
