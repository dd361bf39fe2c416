"""Learning from a stream: each micro-batch is answered, then learnt (prequential evaluation, Gama et al. 2013)."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.data.near_duplicates import fold_number
from progressive_tf.data.stream import MicroBatch, StreamRows, is_whole, keep_lines, micro_batches, read_lines
from progressive_tf.errors import InputError
from progressive_tf.files import read_json, write_json
from progressive_tf.plan.refusals import STANDARD_INPUT
from progressive_tf.training.fitting.callbacks import NonFiniteLossError
from progressive_tf.training.fitting.fit import Fitted, phase_optimizer
from progressive_tf.training.fitting.locations import backup_file, stream_keys_file
from progressive_tf.training.fitting.phases import phases_of
from progressive_tf.training.fitting.stage_model import StageModel
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.training.stage.promotion import Arrived
from progressive_tf.training.streaming.candidates import Candidates, arrived_of, record_rows
from progressive_tf.training.streaming.learner import StreamLearner
from progressive_tf.training.streaming.progress import Counts, GrowingLog, Progress

FOLDER = "stream"
END_FILE = "end.json"
SAVED_EVERY_SECONDS = 15.0
LEARNER, RELEASED, START = "learner", "released", "start"
MODELS = (LEARNER, RELEASED, START)
ANSWERS, WINDOWS, ASIDE, LEARNT = "answers.jsonl", "windows.csv", "aside.jsonl", stream_keys_file(Path()).name
LOG_HEADERS = {ANSWERS: "", WINDOWS: f"row,learnt,rows,{','.join(MODELS)},loss\n", ASIDE: "", LEARNT: ""}


@dataclass(frozen=True)
class Streamed:
    """How a stream was learnt.

    Attributes:
        fitted: as of any training; its one epoch is the stream.
        arrived: answers on the rows since the last candidate, or None.
        facts: what metrics.json says.
    """

    fitted: Fitted
    arrived: Arrived | None
    facts: dict[str, Any]


def rows_behind(run: Run, stage: StageRecord) -> str | None:
    """Returns what is said of rows that came behind those that a finished stage has read of its file; None for none."""
    stream = run.settings(stage).data.stream
    end = _end(stage)
    if stream in (None, STANDARD_INPUT) or "rows" not in end or not (path := run.loaded.folder / stream).is_file():
        return None
    if stream in [later.data.stream for later in run.plan.stages[stage.index + 1 :]]:
        return None  # which goes on behind them
    further = sum(bool(line.strip()) and is_whole(line) for line in read_lines(path)) - end["rows"]
    if further <= 0:
        return None
    rows = "1 row has" if further == 1 else f"{further:,} rows have"
    return f"{stage.name}: {rows} come in {stream} since it ended; another stage with data.stream: {stream} learns them"


class StreamFit:
    """Learns what is left of a stage's stream, up to its end, and leaves the last weights in the network.

    Args:
        attempt: at the stage; it is prepared.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.run = run = attempt.run
        self.stage = attempt.stage
        self.parent = attempt.parent
        self.settings = settings = attempt.settings
        self.name = "standard input" if settings.data.stream == STANDARD_INPUT else str(settings.data.stream)
        self.folder = self.stage.folder / FOLDER
        network, phases, moved = run.network, attempt.phases, attempt.moved
        optimizer = phase_optimizer(network, settings, phases, phases_of(network, settings, phases)[-1])
        if attempt.carried is not None:
            optimizer.restore(attempt.carried)
        depth, retained = moved.frozen_depth, attempt.retained
        replayed = [run.features.examples(part.source, part.rows, depth, settings.cache) for part in retained.replayed]
        objective = run.features.answering.objective(settings, depth)
        model = StageModel(network, moved, depth, objective, optimizer, retained.penalties(settings, network))
        self.learner = StreamLearner(model, settings, replayed, run.plan.seed)
        self.start = self.learner.weights
        self.fresh_optimizer = optimizer.state()
        plan, data = run.plan, run.data
        self.rows = StreamRows(plan.data.text, plan.data.label, data.labels, data.evaluation_keys, data.spelling)
        self.progress = self._restored()
        self.logs: dict[str, GrowingLog] = {}
        self.candidates = Candidates(attempt)
        self.saved = time.monotonic()

    def streamed(self) -> Streamed:
        """Learns what is left, and returns how it went.

        Raises:
            InputError: the stream cannot be read, has no row to learn, or is not what it was.
            NonFiniteLossError: the loss is no longer a number.
        """
        counts, stage = self.progress.counts, self.stage
        if not stage.is_trained:
            with contextlib.ExitStack() as closing:
                for name, header in LOG_HEADERS.items():
                    log = GrowingLog(self.folder / name, counts.logs.get(name, 0))
                    self.logs[name] = closing.enter_context(contextlib.closing(log))
                    if not log.length:
                        log.write(header)
                self._learn()
        left_out = f"{counts.duplicates:,} duplicate ids skipped, {counts.aside:,} rows put aside"
        left_out += f", with the reasons in {self.folder / ASIDE}" if counts.aside else ""
        if self.rows.waiting:
            left_out += f"; the last line has no end yet and waits ({self.rows.waiting:,} bytes)"
        if not counts.learnt:
            raise InputError(f"stages[{stage.index}].data.stream: {self.name} has no new row to learn; {left_out}")
        record_rows(self.run, stage, self.parent, counts)
        end = {"stream": self.settings.data.stream, "rows": counts.rows, "sha256": counts.sha256}
        write_json(self.folder / END_FILE, end)
        accuracy = {name: counts.right[name] / counts.learnt for name in MODELS}
        self.run.display.line(
            f"{stage.name}: {counts.learnt:,} rows learnt, each answered before: {accuracy[LEARNER]:.1%} right, "
            f"{accuracy[START]:.1%} with the weights it began with; {left_out}"
        )
        names = [weight.name for weight in self.learner.moved.trained]
        history = [{"loss": counts.loss / counts.learnt, "accuracy": accuracy[LEARNER]}]
        facts = {"learnt": counts.learnt, "duplicates": counts.duplicates, "aside": counts.aside, "accuracy": accuracy}
        fitted = Fitted(1, 1, history, [], self.learner.optimizer.state(), names)
        return Streamed(fitted, arrived_of(self.run, self.progress.arrived), facts)

    def _learn(self) -> None:
        """Learns the stream to its end, and saves how far it is now and then."""
        with self.run.display.counting(f"{self.stage.name}: rows of {self.name}") as tell:
            for batch in self._batches():
                self._judge_if_due()
                self.take(batch)
                tell(self.progress.counts.learnt)
                if time.monotonic() - self.saved > SAVED_EVERY_SECONDS:
                    self._save()
        self._save()

    def _restored(self) -> Progress:
        """Returns the saved state, with the learner put back to it; the beginning where there is none."""
        path, classes = backup_file(self.stage.folder), len(self.run.data.labels)
        if path.exists():
            progress = Progress.load(path)
            self.learner.assign(progress.weights)
            self.learner.optimizer.restore(progress.optimizer)
            return progress
        none = {
            "truth": np.empty(0, np.int32),
            LEARNER: np.empty([0, classes], np.float32),
            RELEASED: np.empty([0, classes], np.float32),
        }
        counts = Counts(right=dict.fromkeys(MODELS, 0), by_label=[0] * classes)
        earlier = [_end(stage) for stage in self.run.stages[: self.stage.index]]
        for end in earlier:
            if end["stream"] == self.settings.data.stream != STANDARD_INPUT:
                counts.rows, counts.sha256 = end["rows"], end["sha256"]
        return Progress(counts, np.empty([0, len(MODELS)], bool), none, {}, {}, [])

    def _batches(self) -> Iterator[MicroBatch]:
        counts, rows = self.progress.counts, self.rows
        if self.settings.data.stream == STANDARD_INPUT:
            lines = keep_lines(sys.stdin.fileno(), self.folder / "kept.jsonl")
        else:
            lines = read_lines(self.run.loaded.folder / str(self.settings.data.stream))
        return micro_batches(rows, lines, self.settings.data.micro_batch, self.name, counts.rows, counts.sha256)

    def take(self, batch: MicroBatch) -> None:
        """Answers and learns a micro-batch, and notes what was left out beside it."""
        counts = self.progress.counts
        for left in batch.aside:
            line = json.dumps({"row": left.row, "reason": left.reason, "line": left.line}, ensure_ascii=False)
            self.logs[ASIDE].write(line + "\n")
        counts.rows, counts.sha256 = batch.rows, batch.sha256
        counts.duplicates += batch.duplicates
        counts.aside += len(batch.aside)
        if not batch.accepted:
            return
        others = {START: self.start} | ({RELEASED: self.progress.released} if self.progress.released else {})
        answers, other_answers = self.learner.answer(batch.accepted, others)
        probabilities = {
            LEARNER: answers,
            RELEASED: other_answers.get(RELEASED, other_answers[START]),
            START: other_answers[START],
        }
        truth = np.array([row.code for row in batch.accepted], np.int32)
        predicted = {name: values.argmax(axis=1) for name, values in probabilities.items()}
        arrived, kept = {"truth": truth, LEARNER: answers, RELEASED: probabilities[RELEASED]}, self.settings.data.window
        self.progress.arrived = {
            name: np.concatenate([earlier, arrived[name]])[-kept:] for name, earlier in self.progress.arrived.items()
        }
        right = np.stack([predicted[name] == truth for name in MODELS], axis=1)
        window = np.concatenate([self.progress.window, right])[-kept:]
        self.progress.window = window
        for place, name in enumerate(MODELS):
            counts.right[name] += int(right[:, place].sum())
        for code in truth:
            counts.by_label[code] += 1
        loss = self.learner.learn(counts.batches)
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"stage {self.stage.name}, row {batch.rows:,} of {self.name}: the loss is {loss}; "
                f"lower optimizer.learning_rate or set optimizer.clip_norm, then start again with --fresh"
            )
        counts.batches += 1
        counts.learnt += len(truth)
        counts.loss += loss * len(truth)
        labels = self.run.data.labels
        for place, row in enumerate(batch.accepted):
            self.logs[LEARNT].write(f"{fold_number(row.text):016x}\n")
            codes = (row.code, *(predicted[name][place] for name in MODELS))
            self.logs[ANSWERS].write(
                json.dumps([row.row, *(labels[code] for code in codes)], ensure_ascii=False) + "\n"
            )
        shares = ",".join(f"{share:.6f}" for share in window.mean(axis=0))
        self.logs[WINDOWS].write(f"{batch.rows},{counts.learnt},{len(window)},{shares},{loss:.6f}\n")

    def _judge_if_due(self) -> None:
        """Lets the gate judge what was learnt, where the plan asks for it by now and more rows follow."""
        counts, every = self.progress.counts, self.settings.data.candidate_every
        if every is None or counts.learnt - counts.judged < every:
            return
        self._save()
        weights = self.learner.weights
        decision = self.candidates.judge(weights, counts, self.progress.arrived)
        version = f", version {decision.version}; {decision.stable}" if decision.version else ""
        share = self.progress.window.mean(axis=0)
        self.run.display.line(
            f"{self.stage.name}: {counts.learnt:,} rows learnt, of the last {len(self.progress.window):,} "
            f"{share[0]:.1%} right ({share[1]:.1%} as released): {decision.decision} ({decision.reason}){version}"
        )
        if decision.promoted:
            self.progress.released = weights
        if decision.decision == "reject":
            self.learner.assign(self.progress.released or self.start)
            self.learner.optimizer.restore(self.fresh_optimizer)
        counts.judged = counts.learnt
        self.progress.arrived = {name: values[:0] for name, values in self.progress.arrived.items()}

    def _save(self) -> None:
        """Saves how far it is, after all that was logged up to here."""
        for log in self.logs.values():
            log.flush()
        self.progress.counts.logs = {name: log.length for name, log in self.logs.items()}
        self.progress.weights = self.learner.weights
        self.progress.optimizer = self.learner.optimizer.state()
        self.progress.save(backup_file(self.stage.folder))
        self.saved = time.monotonic()


def _end(stage: StageRecord) -> dict[str, Any]:
    """Returns how far a stage has read its stream; nothing but `stream`, None, where it has none."""
    path = stage.folder / FOLDER / END_FILE
    return read_json(path) if path.exists() else {"stream": None}
