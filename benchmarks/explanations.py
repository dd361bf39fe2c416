"""How complete explanations are, and how long they take: 50 movie reviews, the encoder of the plan movie-reviews.

Run `python -m benchmarks.explanations`. A head is trained on 500 reviews first; then each probe is explained.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from progressive_tf.files import read_json, write_text
from progressive_tf.logs import set_up_logging
from progressive_tf.plan.reading import to_yaml


def main(arguments: Sequence[str] | None = None) -> None:
    """Explains and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description=__doc__)
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--steps", type=int, default=32, help="points on the line to begin with")
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run.run import load_run
    from progressive_tf.training.run.run_folder import RunFolder
    from progressive_tf.training.run_plan import run_plan
    from progressive_tf.training.stage.explaining import explained, explanations_file

    folder = Path(tempfile.mkdtemp(prefix="explanations-"))
    plan = load_plan("movie-reviews", ["seed=7"]).to_json()
    stage = plan["stages"][0] | {"data": plan["stages"][0]["data"] | {"take": 500}}
    plan |= {"stages": [stage], "probes": {"take": given.texts, "steps": given.steps}}
    write_text(folder / "plan.yaml", to_yaml(plan))
    loaded = load_plan(str(folder / "plan.yaml"))
    quiet = Display(Console(quiet=True))
    run = run_plan(loaded, folder / "runs", folder / "registry", fresh=True, display=quiet).run
    session = load_run(loaded, RunFolder(run), folder / "registry", quiet)
    record = session.stages[0]
    before = read_json(explanations_file(session, record))["probes"]
    explanations_file(session, record).unlink()
    began = time.perf_counter()
    found = explained(session, record)
    seconds = time.perf_counter() - began
    errors = np.array([each["error"] for each in found])
    print(
        f"{len(found)} texts, {np.mean([len(each['parts']) for each in found]):.0f} tokens on average: {seconds:.1f} s"
    )
    print(f"completeness error: {errors.mean():.2%} on average, {errors.max():.2%} at most")
    print(f"points on the line: {np.mean([each['steps'] for each in found]):.0f} on average")
    print(f"the same bits as in the run: {before == found}")


if __name__ == "__main__":
    main()
