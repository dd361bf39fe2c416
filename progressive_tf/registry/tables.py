"""Versions, lineage, decisions and history as rich tables; draws what the registry says, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from progressive_tf.output import ByWidth
from progressive_tf.plan.metric_names import ANSWERS
from progressive_tf.registry.folder import Damage
from progressive_tf.registry.history import BY_GATE, Rollout, judged_beside, released_by
from progressive_tf.registry.journal import ALIAS, COMMIT, INTENT, LOOKED, PREPARED, ROLLBACK, TESTED, Entry
from progressive_tf.registry.keys import fingerprint
from progressive_tf.registry.signatures import Signed, unsigned_text
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions

if TYPE_CHECKING:
    from progressive_tf.plan.release_schedule import ReleaseSchedule

_MOST_LABELS = 10


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
        **{name: metric(manifest, name) for name in _listed_metrics()},
    }


def _listed_metrics() -> list[str]:
    return [kind.matrix_metric for kind in ANSWERS.values()]


def metric(manifest: Mapping[str, Any] | None, name: str) -> float | None:
    """Returns one of a manifest's metrics, a number or a {"value": number}; None where it has none."""
    metrics = (manifest or {}).get("metrics")
    value = metrics.get(name) if isinstance(metrics, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, int | float) else None


def versions_table(records: Iterable[Mapping[str, Any]]) -> ByWidth:
    """Returns one row per version, from `version_record`.

    On a narrow terminal a run stands below its date, so that it can be copied whole.
    """
    listed = list(records)
    return ByWidth(_versions_table(listed, narrow=False), _versions_table(listed, narrow=True))


def _versions_table(records: Iterable[Mapping[str, Any]], narrow: bool) -> Table:
    table = _table("model", "version", "aliases")
    if narrow:
        table.add_column("created (UTC), on test rows,\nrun / stage", no_wrap=True, overflow="fold")
    else:
        for name in ("created (UTC)", "run / stage", "on test rows"):
            table.add_column(name, no_wrap=True)
    for record in records:
        figure = next((f"{name} {record[name]:.3f}" for name in _listed_metrics() if record[name] is not None), "")
        origin = f"{record['run']}/{record['stage']}" + (" (forced)" if record["forced"] else "")
        created = _moment(record["created"])
        cells = (f"{created}  {figure}".rstrip() + f"\n{origin}",) if narrow else (created, origin, figure)
        table.add_row(*map(Text, (record["model"], str(record["version"]), ", ".join(record["aliases"]), *cells)))
    return table


def version_details(model: ModelVersions, version: Version, everything: bool = False) -> str:
    """Returns the facts of one version, a line each: where it comes from, its labels, hashes and lineage.

    They are lines and no table, so that a terminal breaks no path, run or hash that somebody wants to copy.

    Args:
        model: the model.
        version: one of its versions.
        everything: all labels, however many.
    """
    manifest, without = version.manifest() or {}, version.task.answers.without_labels
    entries = model.entries()
    by, judged = released_by(entries, version.number), judged_beside(entries, version.number)
    labels = [str(label) for label in manifest.get("labels", [])]
    shown = labels if everything else labels[:_MOST_LABELS]
    more = f" and {len(labels) - len(shown)} more, with --all" if len(shown) < len(labels) else ""
    rows: dict[str, Any] = {
        "aliases": ", ".join(version.aliases) or "none",
        "released": f"{_moment(version.created)} UTC",
        "run / stage": f"{version.run}/{version.stage}",
        "lineage": " ← ".join(map(str, model.lineage(version.number))),
        "forced": (manifest.get("forced") or {}).get("reason", "yes") if version.forced else "no",
        **({"stable by": by} if by not in ("", BY_GATE) else {}),
        **({"judged beside": f"{judged} candidate{'s' if judged > 1 else ''}"} if judged else {}),
        "task": version.task.name if manifest else "",
        "labels": f"none: it {without}" if without else f"{', '.join(shown)}{more}",
        **_labels_before(manifest),
        **_labels_file(manifest),
        **{name.removesuffix("_sha256"): str(manifest.get(name, "")) for name in _HASHES},
        "files": str(len(manifest.get("files", {}))),
        "folder": str(version.folder),
    }
    if not manifest:
        rows["manifest"] = "missing or broken; see `release verify`"
    width = max(map(len, rows))
    lines = [f"{version.model} version {version.number}", *(f"{name:{width}} {value}" for name, value in rows.items())]
    return "\n".join(line.rstrip() for line in lines)


def _labels_before(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Returns what became of an earlier version's labels, as a fact; nothing where they are the same."""
    before = manifest.get("labels_before")
    if before is None:
        return {}
    from progressive_tf.evaluation.label_map import LabelMap  # needs numpy, which takes a while, and help does not

    words = LabelMap.of_json(before["labels"], manifest.get("labels", ())).in_words()
    return {"before": f"version {before['version']}: {words or 'the same'}"}


def _labels_file(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Returns which words it does not speak any more, and since when these are old, as a fact; nothing without any."""
    file = manifest.get("labels_file")
    if file is None:
        return {}
    changes = (
        f"{change['old']} → {change['new']}" + (f" since {change['from']}" if change["from"] else "")
        for change in file["changes"]
    )
    return {"words": f"{file['name']} ({file['sha256'][:12]}): {'; '.join(changes)}"}


def version_tables(
    manifest: Mapping[str, Any] | None, entries: Sequence[Entry], everything: bool = False
) -> list[Table | str]:
    """Returns metrics, decision and history of a version.

    Args:
        manifest: its own, or None.
        entries: of the journal, about it or about its model.
        everything: also metrics of classes, and each step of the journal.
    """
    history = history_table(entries, everything)
    if manifest is None:
        return [history]
    return [
        *metrics_tables(manifest.get("metrics", {}), everything),
        decision_table(manifest.get("decision", {})),
        history,
    ]


def metrics_tables(metrics: Mapping[str, Any], everything: bool = False) -> list[Table | str]:
    """Returns a version's metrics on its stage's test rows, a row each, and those of classes, or how to see them.

    Args:
        metrics: as the manifest has them; those of a class, or of a type of entity, are called `<kind>/<class>`.
        everything: with a table of the classes.
    """
    whole = {name: value for name, value in metrics.items() if "/" not in name}
    classes: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        kind, separator, label = name.partition("/")
        if separator:
            classes.setdefault(label, {})[kind] = value
    if not whole and not classes:
        return []
    table = _table("metric", "on test rows")
    table.columns[1].justify = "right"
    for name, value in whole.items():
        table.add_row(Text(name), Text(_figure(value)))
    if not classes:
        return [table]
    if not everything:
        return [table, f"metrics of {len(classes)} classes or types: --all"]
    kinds = list(dict.fromkeys(kind for scores in classes.values() for kind in scores))
    by_class = _table("class or type", *kinds)
    for column in by_class.columns[1:]:
        column.justify = "right"
    for label, scores in classes.items():
        by_class.add_row(Text(label), *(Text(_figure(scores.get(kind))) for kind in kinds))
    return [table, by_class]


_HASHES = ("weights_sha256", "plan_sha256", "data_sha256", "code_sha256")


def rollout_text(rollout: Rollout | None, schedule: ReleaseSchedule | None) -> str:
    """Returns in one line how far a canary has come, and what its plan wants next; "" without a canary."""
    if rollout is None:
        return ""
    share = f"{rollout.percent:g} % of the callers since {_moment(rollout.since)} UTC"
    line = f"canary: version {rollout.version}, {share}{', paused' if rollout.paused else ''}"
    if schedule is None:
        return f"{line}; a person decides"
    after = f"{schedule.after(rollout.percent):g} % after {schedule.min_samples} answers"
    after += f", {schedule.min_minutes:g} minutes" if schedule.min_minutes else ""
    after += " and a proof" if schedule.needs_proof else ""
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


def history_table(entries: Sequence[Entry], everything: bool = True) -> Table:
    """Returns journal entries, oldest first.

    Args:
        entries: of the journal.
        everything: each of them; otherwise a version that was released has one line, and not one for each step.
    """
    table = _table("time (UTC)", "who", "event", "version", "reason")
    table.title, table.title_justify = "history", "left"
    for entry in entries if everything else _in_short(entries):
        table.add_row(
            *map(Text, (_moment(entry.time), entry.who, _event(entry), _figure(entry.version), entry.reason or ""))
        )
    return table


def _in_short(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yields entries without the steps that led to a version; its last one takes over why the gate was overruled."""
    released = {entry.token for entry in entries if entry.event == COMMIT}
    intents = {entry.token: entry for entry in entries if entry.event == INTENT}
    for entry in entries:
        if entry.event in (LOOKED, TESTED) or (entry.event in (INTENT, PREPARED) and entry.token in released):
            continue
        intent = intents.get(entry.token)
        if entry.event == COMMIT and intent is not None:
            yield replace(entry, event="released", forced=intent.forced, reason=intent.reason)
        else:
            yield entry


def damage_table(damages: Iterable[tuple[str, Damage]]) -> Table:
    """Returns what is damaged, from (model, damage) pairs."""
    table = _table("model", "version", "file", "problem")
    for model, damage in damages:
        table.add_row(*map(Text, (model, str(damage.version), damage.file or ".", damage.problem)))
    return table


def signed_line(model: ModelVersions, signed: Signed) -> list[str]:
    """Returns who has signed how much of a model, and what is not signed; nothing where nobody asks."""
    keys, lines = model.files.keys, list[str]()
    if not keys.verifies:
        return (
            [f"{model.name} is signed; by whom is not looked at without --key FILE"]
            if model.files.has_signatures
            else []
        )
    if signed.entries:
        count = f"{len(signed.entries)} entries of its journal, with {len(model.versions())} versions"
        lines.append(
            f"{model.name}: signed: {count}, the last by {fingerprint(signed.key)} at {signed.entries[-1].time}"
        )
    return [*lines, unsigned_text(model.name, signed)] if signed.unsigned else lines


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
        return f"{entry.event} {entry.run}{'' if entry.stage is None else f'/{entry.stage}'}{forced}"
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
