"""The explanations of a stage's network on the plan's probes, and how they agree with its predecessor's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from progressive_tf.data.slices import probe_rows
from progressive_tf.evaluation.explanations import Agreement, agreement
from progressive_tf.files import read_json, write_json
from progressive_tf.models.integrated_gradients import explanations, refuse_unexplained, tokens_of
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord

EXPLANATIONS = "explanations.json"


def check_probes(run: Run) -> None:
    """Refuses probes that there are too few rows for, or a network that cannot be explained.

    Raises:
        InputError: which of the two.
    """
    if run.plan.probes is not None:
        probe_rows(run.data.first_slice, run.plan.probes, run.plan.seed)
        refuse_unexplained(run.network)


def explained(run: Run, stage: StageRecord | None) -> list[dict[str, Any]]:
    """Returns the explanations of a trained stage, or of what the run started from; computed and saved where missing.

    Args:
        run: the run; its network is put at the stage's weights where they have to be computed.
        stage: None for the run's start.
    """
    probes = run.plan.probes
    assert probes is not None
    path = explanations_file(run, stage)
    first = run.data.first_slice
    source, rows = first.source, probe_rows(first, probes, run.plan.seed)
    if path.exists():
        saved: list[dict[str, Any]] = read_json(path)["probes"]
        return saved
    run.load(stage)
    data, network = run.data, run.network
    inputs, codes = data.sources[source].inputs(rows), data.codes[source][rows]
    read = data.sources[source]
    texts = read.texts(rows) if network.preprocess.explained_depth else [""] * len(rows)
    records: list[dict[str, Any]] = []
    computed = explanations(network, list(inputs), [int(code) for code in codes], probes.steps)
    for row, text, code, one in zip(read.rows[rows].tolist(), texts, codes.tolist(), computed, strict=True):
        parts = tokens_of(network, text, network.preprocess.tokens) if text else []
        records.append(
            {
                "row": row,
                "text": text,
                "label": data.labels[code],
                "probability": one.probability,
                "parts": parts,
                "values": one.values.tolist(),
                "error": one.error,
                "steps": one.steps,
            }
        )
    write_json(path, {"source": source, "probes": records})
    return records


def explanations_file(run: Run, stage: StageRecord | None) -> Path:
    """Returns where the explanations of a stage stand, or of what the run started from."""
    return (run.folder.path if stage is None else stage.folder) / EXPLANATIONS


def explanation_facts(run: Run, stage: StageRecord) -> dict[str, Any]:
    """Returns how many probes were explained, how complete that is, and how it agrees with the predecessor."""
    comparison = agreement_with_predecessor(run, stage)
    probes = explained(run, stage)
    return {
        "probes": len(probes),
        "largest_error": max(probe["error"] for probe in probes),
        "correlation": None if comparison is None else comparison.correlation,
        "of_probe": None if comparison is None else list(comparison.of_probe),
        "predecessor": None if comparison is None else (parent.name if (parent := run.baseline(stage)) else "start"),
    }


def agreement_with_predecessor(run: Run, stage: StageRecord) -> Agreement | None:
    """Returns how a stage's reasons agree with those of what it started from; None where that was no release."""
    parent = run.baseline(stage)
    if parent is None and run.start.version is None:
        return None
    return agreement(explained(run, parent), explained(run, stage))
