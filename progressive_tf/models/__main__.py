"""`python -m progressive_tf.models`: checks a builder of one's own against the block contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _commands() -> None:
    """Check a builder of your own: docs/guides/your-own-builder.md says how to write one."""


@app.command()
def check(
    builder: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="The function, as a plan names it.")],
    settings: Annotated[str, typer.Option("--settings", metavar="JSON", help="The plan's `model.settings`.")] = "{}",
    image_size: Annotated[int, typer.Option("--image-size", min=8, help="For networks that read images.")] = 32,
    input_width: Annotated[int, typer.Option("--input-width", min=1, help="For networks that read numbers.")] = 7,
    verbose: Verbose = False,
) -> None:
    """Build the network and check, promise by promise, what stages, caches and versions rely on."""
    import json

    from rich.text import Text

    from progressive_tf.errors import InputError
    from progressive_tf.logs import set_up_logging
    from progressive_tf.plan.networks import OwnBuilder

    try:
        given = json.loads(settings)
    except ValueError as error:
        raise InputError(f"--settings: not JSON ({error}); expected an object such as '{{\"width\": 16}}'") from None
    if not isinstance(given, dict):
        raise InputError(f"--settings: an object expected; got {settings}")
    set_up_logging(verbose)
    from progressive_tf.models.contract import LABELS, check_builder
    from progressive_tf.models.own_builder import build_own
    from progressive_tf.models.request import Request

    model = OwnBuilder(builder=builder, settings=given)
    request = Request(model, LABELS, seed=3, folder=Path.cwd(), input_width=input_width, image_size=image_size)
    screen = console()
    broken = 0
    for result in check_builder(build_own, request):
        broken += bool(result.broken)
        mark = Text("broken", "red") if result.broken else Text("kept  ", "green")
        screen.print(mark, f" {result.promise}")
        if result.broken:
            screen.print(f"        {result.broken}")
    if broken:
        raise InputError(f"{builder}: {broken} of the promises above {'is' if broken == 1 else 'are'} broken")


if __name__ == "__main__":
    run_command(app)
