"""`python -m progressive_tf.compare RUNS RUNS…`: methods over the same seeds, with paired differences."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console, only_prints

app = typer.Typer(add_completion=False)


class Measure(str, enum.Enum):
    """What is compared."""

    ACC = "acc"
    BWT = "bwt"
    FWT = "fwt"
    FORGETTING = "forgetting"


class Part(str, enum.Enum):
    """On which rows."""

    TEST = "test"
    GATE = "gate"


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Two folders or more, each with the runs of one method: runs/<plan>.", show_default=False),
    ],
    measure: Annotated[Measure, typer.Option(help="A measure of the R matrix.")] = Measure.ACC,
    part: Annotated[Part, typer.Option(help="The rows it is measured on.")] = Part.TEST,
    verbose: Verbose = False,
) -> None:
    """Compare methods that ran with the same seeds, the first with each of the others.

    Train each with `--set seed=1 --out runs/naive`, `--set seed=2 --out runs/naive` and so on. The difference is paired
    by seed, its interval is Student's t, and p that of an exact sign-flip permutation test, two-sided.
    """
    from progressive_tf.errors import InputError
    from progressive_tf.reporting.reading import finished_runs

    only_prints()
    if len(runs) < 2:
        raise InputError("RUNS: one folder given; name two or more, each with the runs of one method")
    for folder in runs:
        finished_runs(folder)

    from progressive_tf.reporting.compared_runs import caveat, comparison_table, read_method

    methods = [read_method(folder, measure.value, part.value) for folder in runs]
    console().print(comparison_table(methods, measure.value, part.value))
    remark = caveat(methods)
    if remark is not None:
        console(stderr=True).print(remark)


if __name__ == "__main__":
    run_command(app)
