"""Versions, lineage, decisions and history as rich tables; draws what the registry says, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from progressive_tf.errors import listed
from progressive_tf.registry.folder import Damage
from progressive_tf.registry.history import Rollout
from progressive_tf.registry.journal import ALIAS, ROLLBACK, Entry
from progressive_tf.registry.traffic import Schedule
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions

_HASH_DIGITS = 12
_LISTED = ("accuracy", "entity_f1", "chrf")  # of classes, of tagged words, and of texts


def version_record(version: Version) -> dict[str, Any]:
    """Returns what a list of versions shows of one, as JSON-like values."""
    manifest = version.manifest()
    return {
        "model": version.model,
        "version": version.number,
        "aliases": list(version.aliases),
        "created": version.created,
        "run": version.run,
        "stage": version.stage,
        "forced": version.forced,
        **{name: metric(manifest, name) for name in _LISTED},
    }


def metric(manifest: Mapping[str, Any] | None, name: str) -> float | None:
    """Returns one of a manifest's metrics, a number or a {"value": number}; None where it has none."""
    metrics = (manifest or {}).get("metrics")
    found = metrics.get(name) if isinstance(metrics, dict) else None
    if isinstance(found, dict):
        found = found.get("value")
    return float(found) if isinstance(found, int | float) else None


def versions_table(records: Iterable[Mapping[str, Any]]) -> Table:
    """Returns one row per version, from `version_record`."""
    table = _table("model", "version", "aliases", "created (UTC)", "run / stage", "on test rows")
    for record in records:
        figure = next((f"{name} {record[name]:.3f}" for name in _LISTED if record[name] is not None), "")
        origin = f"{record['run']}/{record['stage']}" + (" (forced)" if record["forced"] else "")
        table.add_row(
            *map(
                Text,
                (
                    record["model"],
                    str(record["version"]),
                    ", ".join(record["aliases"]),
                    _moment(record["created"]),
                    origin,
                    figure,
                ),
            )
        )
    return table


def version_details(model: ModelVersions, version: Version) -> Table:
    """Returns the facts of one version: where it comes from, its hashes, metrics and lineage."""
    manifest = version.manifest() or {}
    table = Table(
        title=Text(f"{version.model} version {version.number}"),
        show_header=False,
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    rows: dict[str, Any] = {
        "aliases": ", ".join(version.aliases) or "none",
        "released": f"{_moment(version.created)} UTC",
        "run / stage": f"{version.run}/{version.stage}",
        "lineage": " ← ".join(map(str, model.lineage(version.number))),
        "forced": (manifest.get("forced") or {}).get("reason", "yes") if version.forced else "no",
        "labels": listed(manifest.get("labels", [])) or ("none: it writes texts" if manifest else ""),
        "metrics": ", ".join(f"{name} {_figure(value)}" for name, value in manifest.get("metrics", {}).items()),
        **{name.removesuffix("_sha256"): str(manifest.get(name, ""))[:_HASH_DIGITS] for name in _HASHES},
        "files": str(len(manifest.get("files", {}))),
        "folder": str(version.folder),
    }
    if not manifest:
        rows["manifest"] = "missing or broken; see `release verify`"
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))
    return table


_HASHES = ("weights_sha256", "plan_sha256", "data_sha256", "code_sha256")


def rollout_text(rollout: Rollout | None, schedule: Schedule | None) -> str:
    """Returns in one line how far a canary has come, and what its plan wants next; "" without a canary."""
    if rollout is None:
        return ""
    share = f"{rollout.percent:g} % of the callers since {_moment(rollout.since)} UTC"
    line = f"canary: version {rollout.version}, {share}{', paused' if rollout.paused else ''}"
    if schedule is None:
        return f"{line}; a person decides"
    after = f"{schedule.after(rollout.percent):g} % after {schedule.min_samples} answers"
    limit = "" if schedule.max_minutes is None else f", within {schedule.max_minutes:g} minutes"
    person = "" if schedule.automatic else "; a person decides, since release.automatic is false"
    return f"{line}; next {after}{limit}{person}"


def decision_table(decision: Mapping[str, Any]) -> Table:
    """Returns the rules of a decision, a row each; a rule's reason has its estimate, interval and threshold."""
    reason = f": {decision['reason']}" if decision.get("reason") else ""
    table = _table("metric", "slice", "n", "outcome", "reason")
    table.title = Text(f"decision: {decision.get('decision', 'not recorded')}{reason}")
    table.title_justify = "left"
    for rule in decision.get("rules") or []:
        table.add_row(
            *map(
                Text,
                (
                    str(rule.get("rule", {}).get("metric", "")),
                    str(rule.get("slice", "")),
                    _figure(rule.get("n")),
                    str(rule.get("outcome", "")),
                    str(rule.get("reason") or ""),
                ),
            )
        )
    return table


def history_table(entries: Sequence[Entry]) -> Table:
    """Returns journal entries, oldest first."""
    table = _table("time (UTC)", "who", "event", "version", "reason")
    table.title, table.title_justify = "history", "left"
    for entry in entries:
        table.add_row(
            *map(Text, (_moment(entry.time), entry.who, _event(entry), _figure(entry.version), entry.reason or ""))
        )
    return table


def damage_table(found: Iterable[tuple[str, Damage]]) -> Table:
    """Returns what is damaged, from (model, damage) pairs."""
    table = _table("model", "version", "file", "problem")
    for model, damage in found:
        table.add_row(*map(Text, (model, str(damage.version), damage.file or ".", damage.problem)))
    return table


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


def _event(entry: Entry) -> str:
    forced = " (forced)" if entry.forced else ""
    share = "" if entry.percent is None else f" to {entry.percent:g} %"
    if entry.event == ROLLBACK:
        return f"{entry.alias} rolled back{forced}"
    if entry.event == ALIAS:
        return f"{entry.alias} moved{forced}{share}"
    if entry.alias is not None and entry.token is None:
        return f"{entry.alias} {entry.event}{share}"
    if entry.run is not None:
        return f"{entry.event} {entry.run}/{entry.stage}{forced}"
    return entry.event + forced


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
