"""The files a stage leaves, and how far an interrupted stage had come."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.findings import QualityReport, Suspect
from progressive_tf.data.plan_data import PlanData
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.records import StageData, record_of
from progressive_tf.files import atomic_path, read_json, sha256_json, write_json, write_parquet
from progressive_tf.training.fitting.locations import checkpoint_file

SUSPECTS_FILE = "findings.csv"

Rows = tuple[np.ndarray, np.ndarray]  # to train on, and to validate with: int64 indices into a source


@dataclass(frozen=True)
class StageRecord:
    """One stage's folder.

    Attributes:
        index: from 0.
        name: the stage's name.
        folder: where its files stand.
        of: the stage, where this is a candidate of one that learns from a stream.
    """

    index: int
    name: str
    folder: Path
    of: StageRecord | None = None

    def candidate(self, rows: int) -> StageRecord:
        """Returns the record of what the stage had learnt of a stream after so many rows."""
        return StageRecord(self.index, f"{self.name}.{rows}", self.folder / "candidates" / f"{rows:09d}", self)

    @property
    def candidates(self) -> list[StageRecord]:
        """The candidates that were judged before the stage's end, in order."""
        folders = sorted((self.folder / "candidates").glob("[0-9]*"))
        return [self.candidate(int(folder.name)) for folder in folders]

    @property
    def predictions(self) -> Path:
        """What the trained stage said about every slice."""
        return self.folder / "predictions.parquet"

    @property
    def forced_file(self) -> Path:
        """What a person said who overruled the decision."""
        return self.folder / "forced.json"

    @property
    def is_trained(self) -> bool:
        """Whether the stage's final weights are saved."""
        return checkpoint_file(self.folder).exists()

    @property
    def decision(self) -> Decision | None:
        """What the gate decided, or None before it did."""
        path = self.folder / "decision.json"
        return record_of(read_json(path), Decision, str(path)) if path.exists() else None

    @property
    def statistics(self) -> dict[str, Any] | None:
        """The content of preprocessing.json, or None before the stage has begun, or where the data is no table."""
        path = self.folder / "preprocessing.json"
        begun = (self.folder / "data.json").exists()  # otherwise the plan may have changed since
        return read_json(path) if begun and path.exists() else None

    def save_statistics(self, statistics: dict[str, Any]) -> None:
        """Writes preprocessing.json, what a table's columns are normalised by."""
        write_json(self.folder / "preprocessing.json", statistics)

    def save_decision(self, decision: Decision) -> None:
        """Writes decision.json, the last file of a stage."""
        write_json(self.folder / "decision.json", decision.to_json())

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes metrics.json."""
        write_json(self.folder / "metrics.json", metrics)

    def data(self) -> StageData:
        """Returns what data.json says of the rows that the stage used."""
        path = self.folder / "data.json"
        return record_of(read_json(path), StageData, str(path))

    def save_data(self, data: StageData) -> None:
        """Writes data.json."""
        write_json(self.folder / "data.json", data.to_json())

    def rows(self) -> Rows | None:
        """Returns the training and validation rows that the stage settled on, or None before it has."""
        path = self.folder / "rows.parquet"
        if not (self.folder / "data.json").exists():
            return None
        frame = pd.read_parquet(path)
        train, validation = (frame.loc[frame["part"] == part, "index"] for part in ("train", "validation"))
        return train.to_numpy(np.int64), validation.to_numpy(np.int64)

    def _save_suspects(self, suspects: Sequence[Suspect]) -> None:
        path = self.folder / SUSPECTS_FILE
        path.unlink(missing_ok=True)  # of an attempt that was interrupted before the stage had begun
        if not suspects:
            return
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(("row", "text", "label", "likely_label", "probability"))
            table.writerows(
                (suspect.row, suspect.text, suspect.label, suspect.likely, suspect.probability) for suspect in suspects
            )

    def save_rows(
        self,
        data: PlanData,
        train: np.ndarray,
        validation: np.ndarray,
        quality: QualityReport,
        started_from: str | None,
        environment: dict[str, Any],
    ) -> None:
        """Writes quality.json, rows.parquet and, last, data.json, which marks the stage as begun.

        Where labels look wrong, findings.csv has them.

        Args:
            data: every row of the plan.
            train: int64 rows to train on.
            validation: int64 rows to choose on.
            quality: what was found in the training rows.
            started_from: the stage whose weights this one starts from; None for those the run starts from.
            environment: code, packages and devices of the process that begins the stage.
        """
        name = data.stage_sources[self.index]
        source, part = data.sources[name], data.slices[data.slice_of[self.index]]
        used = {"train": train, "validation": validation, "gate": part.gate, "test": part.test}
        known = data.classes.known[self.index]
        codes = {key: data.codes[name][rows] for key, rows in used.items()}
        codes["train"] = data.trained_codes(self.index, name, train)
        counts = {key: _label_counts(part_codes, data.labels[:known]) for key, part_codes in codes.items()}
        frame = pd.DataFrame(
            {
                "part": ["train"] * len(train) + ["validation"] * len(validation),
                "index": np.concatenate([train, validation]),
                "row": source.rows[np.concatenate([train, validation])],
            }
        )
        self._save_suspects(quality.suspects)
        write_json(self.folder / "quality.json", quality.to_json())
        write_parquet(self.folder / "rows.parquet", frame)
        self.save_data(
            StageData(
                source=name,
                source_sha256=source.sha256,
                slice=part.name,
                train=len(train),
                validation=len(validation),
                gate_part=len(data.parts[name].gate),
                pool=len(data.parts[name].pool),
                labels=counts,
                wrong_labels=int((codes["train"] != data.codes[name][train]).sum()),
                rows_sha256=sha256_json(
                    {"source": source.sha256} | {key: source.rows[rows].tolist() for key, rows in used.items()}
                ),
                started_from=started_from,
                environment=environment,
            )
        )


def _label_counts(codes: np.ndarray, labels: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(labels))[: len(labels)]
    return dict(zip(labels, counts.tolist(), strict=True))
