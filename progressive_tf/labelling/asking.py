"""From a version and its inputs to files of questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from progressive_tf.data.word_vectors import unit, word_vectors
from progressive_tf.disk import refuse_unwritable
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.files import write_text
from progressive_tf.labelling.candidates import Candidates, from_files, from_log, probabilities_of, worth_asking
from progressive_tf.labelling.choosing import Chosen, Pool, choose
from progressive_tf.labelling.formats import FORMATS, read_given
from progressive_tf.labelling.questions import Question
from progressive_tf.monitoring.origin import find_run, refuse_other_plan
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.seeds import derive_seed

if TYPE_CHECKING:
    from progressive_tf.labelling.network import Network
    from progressive_tf.scoring.predictor import Predictor


@dataclass(frozen=True)
class Asking:
    """What is asked for.

    Attributes:
        count: of questions.
        share: of them by chance, in [0, 1].
        double: of them for a second person too, in [0, 1].
        seed: of all draws.
        shows: whether people see what the version answers.
        column: of texts; None for the usual one.
        before: files of questions that are not asked again.
    """

    count: int
    share: float
    double: float
    seed: int
    shows: bool = False
    column: str | None = None
    before: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Places:
    """Folders of versions, of what servers keep, and of runs; and the plan, None for the one that its run has."""

    registry: Path
    store: Path
    runs: Path
    plan: str | None = None


@dataclass(frozen=True)
class Asked:
    """What was written.

    Attributes:
        to: the file of questions.
        questions: how many.
        pool: inputs that they were taken from.
        why: reason → questions.
        left_out: why other inputs were not asked about → how many.
        lines: what was decided.
        beside: further files → what they are.
    """

    to: Path
    questions: int
    pool: int
    why: Mapping[str, int]
    left_out: Mapping[str, int]
    lines: tuple[str, ...] = ()
    beside: Mapping[Path, str] = field(default_factory=dict)


def form_of(to: Path, asked: str | None, double: float = 0.0) -> str:
    """Returns the name of a format; what is not asked for follows from the file's suffix.

    Args:
        to: the file of questions.
        asked: the format that is asked for; None where none is.
        double: the share for a second person.

    Raises:
        InputError: the file has another suffix than the format, or it or one that is written beside it is there
            already, or cannot be written.
    """
    by_suffix = {".jsonl": "jsonl", ".csv": "csv"}
    name = asked or by_suffix.get(to.suffix.lower())
    if name is None:
        raise InputError(
            f"--to {to}: a .jsonl or .csv file expected, or a .json one with --format label-studio or argilla"
        )
    if to.suffix.lower() != FORMATS[name].suffix:
        raise InputError(f"--to {to}: a {FORMATS[name].suffix} file expected for --format {name}")
    for path in (to, *([_second(to)] if double else []), *_beside(to, name)):
        if path.exists():
            raise InputError(f"--to {to}: there is {path} already, perhaps with labels; name another file")
        refuse_unwritable(path, "--to")
    return name


def _beside(to: Path, name: str) -> list[Path]:
    """Returns the second file of a format, where it has one."""
    beside = FORMATS[name].beside
    return [] if beside is None else [to.with_suffix(beside[0])]


def write_questions(
    model: ModelVersions,
    version: Version,
    files: Sequence[Path],
    asking: Asking,
    places: Places,
    target: tuple[Path, str],
) -> Asked:
    """Writes questions about what callers sent, or about rows of files, each file whole or not at all.

    Args:
        model: the version's.
        version: that is asked what it is unsure of.
        files: rows; none for what a server has kept.
        asking: which questions, and how many.
        places: folders.
        target: the file, and the name of its format.

    Raises:
        InputError: there is nothing to ask about, or too little, or a file cannot be read.
    """
    from progressive_tf.monitoring.live_rows import read_live_rows
    from progressive_tf.scoring.versions import usual_columns
    from progressive_tf.serving.store import store_path

    folder = None if places.plan is None else _plan_folder(model, version, places.plan, places.runs)
    usual = usual_columns(version, places.runs)
    before = [given for path in asking.before for given in read_given(path)[0]]
    live = None if files else read_live_rows(store_path(places.store, model.name))
    display = Display()

    # These import TensorFlow, and what is wrong with a file of questions is said before.
    from progressive_tf.labelling.network import learnt_keys, network_of
    from progressive_tf.scoring.predictor import Predictor

    predictor = Predictor(version.folder, version.manifest() or {})
    if predictor.has_tasks or predictor.width is not None:
        raise InputError(
            f"{model.name}: its version has tasks, or reads numbers without names; texts and tables are asked about"
        )
    text = usual[0] if usual else "text"
    found = from_files(files, predictor, asking.column, usual) if live is None else from_log(live, predictor, text)
    network = network_of(version, places.runs, places.registry, folder)
    known = [learnt_keys(version), np.array([int(given.question, 16) for given in before], np.uint64)]
    lines = [f"what callers of the server at {places.store} sent"] if live is not None else []
    if isinstance(network, str):
        lines.append(f"{network}: what has a label may be asked about, and inputs are alike by their words")
    else:
        known.append(network.known())
    kept = worth_asking(found, np.concatenate(known), asking.seed)
    if len(kept.kept) < asking.count:
        raise InputError(
            f"--n: {asking.count} questions asked for, and {len(kept.kept):,} inputs are left to ask about"
            + "".join(f"; {many:,} {why}" for why, many in kept.left_out.items())
        )
    lines.append(_by_chance(kept))
    pool = _pool(kept, predictor, network, asking.seed, display)
    chosen = choose(pool, asking.count, asking.share, derive_seed(asking.seed, "asking"))
    if not chosen.callers_apart and len(np.unique(pool.callers)) < len(pool):
        lines.append(
            f"they are of {len(np.unique(pool.callers)):,} callers, too few to ask by chance about one input of each: "
            f"the gate takes rows for independent, and is surer than it may be"
        )
    questions = _questions(kept, pool, chosen, predictor.labels, asking.shows)
    beside = _write(questions, predictor.labels, asking, target)
    why = Counter(question.why for question in questions)
    return Asked(target[0], len(questions), len(pool), dict(sorted(why.items())), kept.left_out, tuple(lines), beside)


def _plan_folder(model: ModelVersions, version: Version, plan: str, runs: Path) -> Path:
    """Returns the folder from which paths in a plan start.

    Raises:
        InputError: it is not the plan of the version's run.
    """
    loaded = load_plan(plan)
    if find_run(version, runs) is not None or loaded.plan.name != model.name:
        refuse_other_plan(model, version, loaded, plan, runs)
    return loaded.folder


def _by_chance(kept: Candidates) -> str:
    """Returns of what the questions by chance are drawn, in words."""
    judged = sum(candidate.judged for candidate in kept.kept)
    return f"by chance is of {len(kept.kept):,} different inputs without a label, however often each was sent" + (
        f"; {judged:,} have feedback, by users who chose to give it, and are asked about by chance only"
        if judged
        else ""
    )


def _pool(kept: Candidates, predictor: Predictor, network: Network | str, seed: int, display: Display) -> Pool:
    """Returns inputs with what the version says of each, and how alike they are to its network, or by their words."""
    inputs = kept.kept
    probabilities = probabilities_of(inputs, predictor, display)
    if isinstance(network, str):
        vectors = word_vectors([candidate.words for candidate in inputs], seed, token_pattern=r"\w+")
    else:
        vectors = unit(network.vectors(inputs, display))
    # Who is not known is each a caller of his own.
    callers = [-1 - place if one.caller is None else one.caller for place, one in enumerate(inputs)]
    judged = np.array([one.judged for one in inputs], bool)
    return Pool(probabilities, vectors, np.array(callers, np.int64), judged)


def _questions(kept: Candidates, pool: Pool, chosen: Chosen, labels: Sequence[str], shows: bool) -> list[Question]:
    questions = []
    for row, why in zip(chosen.rows.tolist(), chosen.why, strict=True):
        best = int(pool.probabilities[row].argmax())
        said = (labels[best], round(float(pool.probabilities[row, best]), 4)) if shows else (None, None)
        questions.append(Question(kept.kept[row].cells, why, *said))
    return questions


def _write(
    questions: Sequence[Question], labels: Sequence[str], asking: Asking, target: tuple[Path, str]
) -> dict[Path, str]:
    """Writes the files, that of all questions last; returns the others, with what they are."""
    to, name = target
    form, beside, others = FORMATS[name], dict[Path, str](), list[tuple[Path, str]]()
    if count := round(asking.double * len(questions)):
        drawn = np.random.default_rng(derive_seed(asking.seed, "second person")).permutation(len(questions))[:count]
        again = [questions[place] for place in np.sort(drawn).tolist()]
        others.append((_second(to), form.write(again, labels)))
        beside[_second(to)] = f"{count} of them for a second person; give both files with --import"
    if form.beside is not None:
        (path,) = _beside(to, name)
        others.append((path, form.beside[1](questions, labels)))
        beside[path] = "the labelling interface of these tasks"
    for path, text in (*others, (to, form.write(questions, labels))):
        write_text(path, text)
    return beside


def _second(to: Path) -> Path:
    return to.with_name(f"{to.stem}.second{to.suffix}")
