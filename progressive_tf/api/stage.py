"""One stage of a run: what it learnt, what it measured, and what its gate decided."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.evaluation.decision import Decision, RuleResult
from progressive_tf.evaluation.records import Measure
from progressive_tf.reporting import wording
from progressive_tf.reporting.records import SavedStage
from progressive_tf.reporting.views import StageView

CAPTIONS = {
    "curves": "Loss, accuracy and learning rate; the weights of the green epoch were kept.",
    "gate": "Each rule's estimate and interval; the upright line is the threshold, the green side meets it.",
    "confusion": "Test rows; colour is the share of each true label.",
    "reliability": "Test rows; a calibrated model is right as often as it is confident.",
    "risk_coverage": "Test rows; which share of the answers is wrong where only the surest are given.",
    "unknown": "Scores of known rows and of rows that no class fits; above the dotted line an input counts as unknown.",
}


class GateDecision:
    """What the gate decided on a stage, and the rules it rests on.

    Args:
        stage: the stage's name.
        record: content of its decision.json.
        figure: its rules as a picture, where one has an estimate.

    Attributes:
        outcome: "promote", "hold" or "reject".
        reason: one sentence.
        version: the version that the stage became, or None.
        baseline: what it was compared with, or None.
    """

    def __init__(self, stage: str, record: Decision, figure: Markup | None = None) -> None:
        self._stage, self._record, self._figure = stage, record, figure
        self.outcome = record.decision
        self.reason = record.reason
        self.version = record.version
        self.baseline = record.baseline

    @property
    def promoted(self) -> bool:
        """Whether the gate released the stage."""
        return self._record.promoted

    @property
    def rules(self) -> pd.DataFrame:
        """A row for each comparison: estimate, one-sided bounds, threshold, rows, p value, power, outcome, reason.

        Where rows are in groups, how many groups too.
        """
        grouped = any(rule.groups is not None for rule in self._record.rules)
        rows = [
            vars(rule) | {"rule": wording.rule_words(rule.rule, rule.slice, rule.against)}
            for rule in self._record.rules
        ]
        return pd.DataFrame(rows).drop(columns=["rows_needed", *([] if grouped else ["groups"])], errors="ignore")

    def __repr__(self) -> str:
        return f"{self.outcome}: {self.reason}"

    def _repr_html_(self) -> str:
        return markup.framed(self.markup())

    def markup(self, beside: str = "") -> Markup:
        """Returns the decision without a frame around it, and something else beside its picture."""
        version = f"version {self.version}" if self.version is not None else "no version"
        compared = f"compared with {self.baseline}" if self.baseline else "no baseline"
        head = markup.heading(f"Gate of {self._stage}", f"{version}; {compared}")
        verdict = Markup("{} {}").format(markup.badge(self.outcome), self.reason)
        headings = ("rule", "outcome", "estimate", "bounds", "threshold", "rows", "p", "power")
        table = markup.table(headings, map(_rule_cells, self._record.rules))
        drawn = markup.figure(self._figure, CAPTIONS["gate"]) if self._figure else ""
        words = self._record.labels
        said = markup.paragraph(verdict) + (markup.paragraph(f"Labels of {words}.") if words else "")
        return head + said + table + markup.side_by_side(part for part in (beside, drawn) if part)


class Stage:
    """One stage of a run.

    Args:
        view: its records and figures.
        folder: where its records stand.
    """

    def __init__(self, view: StageView, folder: Path) -> None:
        self._view = view
        self.folder = folder

    @property
    def record(self) -> SavedStage:
        """Everything on disk about the stage."""
        return self._view.record

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.record.name

    @property
    def state(self) -> str:
        """`promote`, `hold` or `reject`; `unfinished` or `not begun` before that; `hold, forced` where overruled."""
        return wording.decided_words(self.record)

    @property
    def decision(self) -> GateDecision | None:
        """What the gate decided; None before it did."""
        record = self.record.decision
        return None if record is None else GateDecision(self.name, record, self._view.gate)

    @property
    def version(self) -> int | None:
        """The version that the stage became, by the gate or by force."""
        return self.record.version

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: loss and metrics on training and validation rows, learning rate, seconds."""
        frame = pd.DataFrame({name: list(values) for name, values in self.record.history.items()})
        return frame.astype({"epoch": int}).set_index("epoch") if "epoch" in frame else frame

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each metric on gate, test and validation rows: value, 95 % interval, rows."""
        metrics = self.record.metrics
        columns = ["part", "slice", "metric", "value", "low", "high", "n"]
        if metrics is None:
            return pd.DataFrame(columns=columns)
        parts = {"gate": metrics.gate, "test": metrics.test, "validation": {self.name: metrics.validation}}
        rows = [
            (part, place, name, measure.value, measure.low, measure.high, measure.n)
            for part, slices in parts.items()
            for place, measures in slices.items()
            for name, measure in measures.items()
        ]
        return pd.DataFrame(rows, columns=columns)

    @property
    def predictions(self) -> pd.DataFrame:
        """What the stage said of gate, test and validation rows, with the truth; empty before there is anything."""
        path = self.folder / "predictions.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame()

    @property
    def figures(self) -> markup.Figures:
        """Learning curves, gate, of classes confusion matrix and reliability, and unknown inputs; those recorded."""
        drawn = {
            "curves": self._view.curves,
            "gate": self._view.gate,
            **(self._view.answers.figures if self._view.answers else {}),
            "unknown": self._view.unknown,
        }
        return markup.Figures(
            {name: markup.Figure(svg, CAPTIONS[name]) for name, svg in drawn.items() if svg is not None}
        )

    def cells(self, metric: str) -> list[object]:
        """Returns the stage's row in a run's table; `metric` is the run's."""
        metrics, decimals = self.record.metrics, wording.decimals(metric)
        weights = metrics.weights if metrics else None
        trained = f"{wording.short_count(weights.trainable)} / {wording.short_count(weights.total)}" if weights else "–"
        return [
            self.name,
            markup.badge(wording.decided(self.record), self.state),
            _measure(self.record.test.get(metric), decimals),
            _measure(self.record.validation.get(metric), decimals),
            wording.count(self.version),
            wording.count(self.record.data.train if self.record.data else None),
            trained,
            wording.count(metrics.epochs if metrics else None),
            wording.duration(wording.total_seconds(self.record)),
        ]

    def __repr__(self) -> str:
        return f"<Stage {self.name}: {self.state}>"

    def _repr_html_(self) -> str:
        head = markup.heading(self.name, self.state)
        decision = self.decision
        curves = markup.figure(self._view.curves, CAPTIONS["curves"]) if self._view.curves else Markup("")
        return markup.framed(decision.markup(beside=curves) if decision else head + curves)


def table_headings(metric: str) -> tuple[str, ...]:
    """Returns the headings above `Stage.cells`."""
    words = wording.metric_words(metric)
    return (
        "stage",
        "decision",
        f"test {words}",
        f"validation {words}",
        "version",
        "examples",
        "weights moved / all",
        "epochs",
        "time",
    )


def _measure(measure: Measure | None, decimals: int) -> Markup | str:
    if measure is None or measure.value is None:
        return wording.NOT_RECORDED
    shown = Markup('<b>{}</b> <span class="bounds">{}</span>')
    return shown.format(wording.number(measure.value, decimals), wording.interval(measure, decimals))


def _rule_cells(rule: RuleResult) -> list[object]:
    decimals = wording.decimals(rule.rule.metric)
    words = Markup('{}<br><span class="bounds">{}</span>')
    return [
        words.format(wording.rule_words(rule.rule, rule.slice, rule.against), rule.reason),
        markup.badge(rule.outcome),
        wording.number(rule.estimate, decimals),
        wording.interval(Measure(low=rule.low, high=rule.high), decimals) or wording.NOT_RECORDED,
        wording.number(rule.threshold, decimals),
        wording.count(rule.n) + (f" of {wording.count(rule.groups)} groups" if rule.groups else ""),
        wording.p_value(rule.p),
        wording.number(rule.power, 2),
    ]
