"""The page: one self-contained HTML file about one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from progressive_tf import files
from progressive_tf.reporting import wording
from progressive_tf.reporting.abstaining import abstaining_words
from progressive_tf.reporting.line import line_view
from progressive_tf.reporting.next_steps import next_steps, reasons_views
from progressive_tf.reporting.records import PAGE, RunRecord, read_run
from progressive_tf.reporting.rivals import rival_views
from progressive_tf.reporting.sweeps import short_key, shown_value
from progressive_tf.reporting.templates import page_environment
from progressive_tf.reporting.unknown_inputs import unknown_views
from progressive_tf.reporting.views import (
    PARTS,
    bounds_view,
    class_curves_view,
    largest_and_smallest,
    matrix_views,
    part_rows,
    rate_views,
    stage_views,
    stages_without_steps,
    stream_views,
    sweep_views,
)

# How things read, as the template's filters and functions.
FILTERS = ("number", "signed", "p_value", "count", "short_count", "interval", "duration", "moment")
FUNCTIONS = ("metric_words", "decimals", "position_words", "total_seconds", "rule_words", "forced_words")
KEY_PACKAGES = ("progressive-tf", "tensorflow", "tensorflow-text", "transformers", "numpy", "pandas", "scikit-learn")


def write_report(run: Path) -> Path:
    """Draws a run's records, finished or not, into `<run>/report.html`.

    The same records give the same bytes. The page needs nothing outside itself and runs no script.

    Args:
        run: a run folder, as runs/<plan>/<run>.

    Returns:
        The path of the page.

    Raises:
        InputError: `run` is not a run folder, or a record in it cannot be read.
    """
    page = render(read_run(run))
    target = run / PAGE
    files.write_text(target, page)
    return target


def render(run: RunRecord) -> str:
    """Returns the page about `run` as HTML."""
    environment = page_environment()
    environment.filters |= {name: getattr(wording, name) for name in FILTERS} | {"value": shown_value}
    stages = stage_views(run)
    streams = stream_views(run)
    answered = [stage for stage in stages if stage.answers]
    style = environment.loader.get_source(environment, "style.css")[0] if environment.loader else ""
    return environment.get_template("page.html").render(
        run=run,
        name=run.plan.get("name", run.path.resolve().parent.name),
        folder=run.path.resolve().name,
        facts=_facts(run),
        summary=wording.summary(run),
        stages=stages,
        ways={steps.stage: steps.ways for steps in next_steps(run)},
        metric=run.metric,
        answered=answered,
        remembering=[stage for stage in stages if stage.record.metrics and stage.record.metrics.retention],
        matrices=matrix_views(run),
        measures=wording.MEASURES,
        bounds_figure=bounds_view(run),
        class_curves=class_curves_view(run),
        line_figure=line_view(run),
        much_tested=wording.much_tested(run),
        reasons=reasons_views(run),
        rivals=rival_views(run),
        unknown=unknown_views(run),
        streams=streams,
        without_epochs=[view.stage for view in streams] + stages_without_steps(run),
        sweeps=sweep_views(run),
        rate_tests=rate_views(run),
        short_key=short_key,
        largest_and_smallest=largest_and_smallest,
        packages=_packages(run),
        parts=_parts(run),
        decisions=wording.DECISIONS,
        abstaining_words=abstaining_words,
        style=Markup(style),
        **{name: getattr(wording, name) for name in FUNCTIONS},
    )


def _facts(run: RunRecord) -> dict[str, str]:
    plan = run.plan
    model, data = _mapping(plan.get("model")), _mapping(plan.get("data"))
    times = [str(event["time"]) for event in run.events if event.get("time")]
    return {
        "Started": wording.moment(times[0]) if times else "not recorded",
        "Last event": wording.moment(times[-1]) if times else "not recorded",
        "Task": f"{plan.get('task', 'not recorded')}, {plan.get('scenario', 'data-incremental')}",
        "Seed": str(plan.get("seed", "not recorded")),
        "Data": str(data.get("source", "not recorded")),
        "Model": f"{model.get('builder', 'not recorded')}, weights {model.get('weights') or 'random'}",
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _packages(run: RunRecord) -> dict[str, str]:
    packages = run.environment.packages if run.environment else {}
    recorded = {name: version or "not installed" for name, version in packages.items()}
    first = {name: recorded[name] for name in KEY_PACKAGES if name in recorded}
    return first | {name: recorded[name] for name in sorted(recorded) if name not in first}


def _parts(run: RunRecord) -> list[str]:
    recorded = {part for stage in run.stages for part in part_rows(run, stage)}
    return [part for part in PARTS if part in recorded] + sorted(recorded.difference(PARTS))
