"""Tasks: what a row is, what is answered about it, and what follows for a plan.

Everything else asks the `Task` of a plan, or of a released version, and tests no task's name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from progressive_tf.plan.metric_names import CLASSES, TAGS, TEXTS, AnswerKind

Inputs = Literal["texts", "words", "images", "columns", "vectors"]
"""What a row is: a text, the words of a sentence, an image, named cells of a table, or numbers without names."""

OWN_TAG = "module:function"  # stands for every builder of one's own

# Keys of `data` that name columns → why they make no sense in a task that does not read them.
COLUMN_KEYS = {
    "text": "names the column of texts; task {task} reads none; drop it",
    "tokens": "names the column of words; task {task} reads none; drop it",
    "image": "names the column of images; task {task} reads none; drop it",
    "features": "names columns of a table; task {task} reads none; drop it",
    "label": "names the column of labels; task {task} reads data.{answer_key}; drop it",
    "tags": "names the column of tags; task {task} has none; drop it",
    "target": "names the column of expected texts; task {task} has none; drop it",
}


@dataclass(frozen=True)
class Task:
    """What goes into a network and what comes out of it.

    Attributes:
        name: as plans write it.
        inputs: what a row is. Where a table may also be rows of plain numbers, the data says which of the two it is.
        answers: what is answered about a row.
        input_key: the key of `data` that names the column, or the columns, of what a row is.
        answer_key: the key of `data` that names the column of what is right.
        builders: of the networks that can do it.
        head_moves_alone: whether the head is a matrix of its own, so that it can be trained alone.
        from_feedback: whether `monitor --propose` can make a stage of what users say.
        refuses: a feature of a plan → why it makes no sense in this task, shown to the user behind the feature's
            place. A feature is a key that is set, or `key=value`; `stages[].key` is one of each stage, and a key of
            stages without that is one that is the same in all of them. In the reason `{task}` stands for the task,
            `{builder}` for the network's builder, `{value}` for what the plan says there.
    """

    name: str
    inputs: Inputs
    answers: AnswerKind
    input_key: str
    answer_key: str
    builders: tuple[str, ...]
    head_moves_alone: bool = True
    from_feedback: bool = False
    refuses: Mapping[str, str] = field(default_factory=dict)

    @property
    def column_refusals(self) -> dict[str, str]:
        """The features among columns: names of those that this task does not read, with the reason."""
        own = (self.input_key, self.answer_key)
        return {f"data.{key}": reason for key, reason in COLUMN_KEYS.items() if key not in own}

    def input_kind(self, width: int | None) -> Inputs:
        """Returns what a row is, given how many numbers without names it has, None where it is no row of such."""
        return self.inputs if width is None else "vectors"


_NO_TAGS = {"crf": "is for task token-classification; task {task} tags no words; drop it"}
_NO_CLASSES_OF_TEXTS = {
    "pooling": "pooler is a layer of BERT; builder {builder} has none",
    "start=prompt": "prompt describes classes of texts; the task is {task}",
    "stages[].data.stream": "is for texts with classes, task text-classification; the task is {task}",
}
_NO_TABLE = {"stages[].readapt": "is for tables; task {task} reads none; drop it"}
_NO_IMAGES = {
    f"stages[].{key}": "is for images; task {task} reads none; drop it" for key in ("image_size", "augmentation")
}
_NO_REASONS = {"probes": "explain classes of texts and images; the task is {task}"}
_NEW_TYPES = (
    "{value}: new types of entities would change what O means in the sentences of earlier stages; task {task} has "
    "data-incremental and domain-incremental"
)
_NO_CLASSES = "{value}: is about classes, and texts have none; task {task} has data-incremental and domain-incremental"
_SUMS_OF_CLASSES = "{value} has a mean for each class of whole rows, and these have none; choose another method"
_SEQUENCES_OF_TAGS = (
    "{value} is over classes of whole rows, and a sentence has as many as there are sequences of tags; set empirical"
)
_SEQUENCES_OF_TOKENS = (
    "{value} is over classes, and there are as many texts as there are sequences of tokens; set empirical"
)
_SOFT_TARGETS = "compares probabilities of classes, and a text has one for each of its tokens; use replay or ewc"
_NO_FLOAT16 = "{value}: a T5 is trained in float32 here; drop it"
_NO_PROBABILITIES = {
    "stages[].calibrate=temperature": "fits the probabilities of a row's classes; task {task} has none; drop it",
    "costs": "are of a row's class; task {task} has none; drop it",
    "stages[].abstain": "asks for the probability of a row's class; task {task} has none; drop it",
    "stages[].labels": "changes classes of whole rows; task {task} has none; drop it",
    "unknown_inputs": "is about inputs that no class of whole rows fits; task {task} has none; drop it",
}
_LOOKS_AT_CLASSES = "looks at classes, and texts have none; drop it for task {task}"

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="text-classification",
            inputs="texts",
            answers=CLASSES,
            input_key="text",
            answer_key="label",
            builders=("bert", OWN_TAG),
            from_feedback=True,
            refuses=_NO_TABLE | _NO_IMAGES | _NO_TAGS,
        ),
        Task(
            name="token-classification",
            inputs="words",
            answers=TAGS,
            input_key="tokens",
            answer_key="tags",
            builders=("bert-tagger",),
            refuses={
                **_NO_CLASSES_OF_TEXTS,
                **_NO_TABLE,
                **_NO_IMAGES,
                **_NO_REASONS,
                **_NO_PROBABILITIES,
                "scenario=class-incremental": _NEW_TYPES,
                "scenario=task-incremental": _NEW_TYPES,
                "data.labels": "the types of entities are those of the tags in data.source; drop it for task {task}",
                "data.labels_file": "is of classes of whole rows, and words have tags; drop it for task {task}",
                "stages[].data.classes": ("a sentence has tags of several types; select sentences with data.where"),
                "stages[].data.wrong_labels": "exchanges labels of whole rows, and these are tags of words; drop it",
                "stages[].adaptation.method=slda": _SUMS_OF_CLASSES,
                "stages[].adaptation.method=prototypes": _SUMS_OF_CLASSES,
                "stages[].objective": "{value} pairs whole texts by their class, and words have tags; drop it",
                "stages[].retention.distill": (
                    "an exported tagger answers with spans, not with a probability for each tag; use replay or ewc"
                ),
                "stages[].retention.lwf": (
                    "compares probabilities of classes of whole rows, and words have tags; use replay or ewc"
                ),
                "stages[].retention.ewc.fisher=exact": _SEQUENCES_OF_TAGS,
                "stages[].retention.ewc.fisher=sampled": _SEQUENCES_OF_TAGS,
                "stages[].retention.average=ensemble": (
                    "an ensemble adds up probabilities of rows, and a tagger answers with the likeliest valid "
                    "sequence; use wise-ft or soup"
                ),
            },
        ),
        Task(
            name="image-classification",
            inputs="images",
            answers=CLASSES,
            input_key="image",
            answer_key="label",
            builders=("resnet50", OWN_TAG),
            refuses=_NO_CLASSES_OF_TEXTS | _NO_TABLE | _NO_TAGS,
        ),
        Task(
            name="tabular-classification",
            inputs="columns",
            answers=CLASSES,
            input_key="features",
            answer_key="label",
            builders=("mlp", OWN_TAG),
            from_feedback=True,
            refuses=_NO_CLASSES_OF_TEXTS | _NO_IMAGES | _NO_REASONS | _NO_TAGS,
        ),
        Task(
            name="translation",
            inputs="texts",
            answers=TEXTS,
            input_key="text",
            answer_key="target",
            builders=("t5",),
            head_moves_alone=False,  # the matrix that ends a translator may be its table of tokens
            from_feedback=True,
            refuses={
                **_NO_CLASSES_OF_TEXTS,
                **_NO_TABLE,
                **_NO_IMAGES,
                **_NO_REASONS,
                **_NO_PROBABILITIES,
                **_NO_TAGS,
                "scenario=class-incremental": _NO_CLASSES,
                "scenario=task-incremental": _NO_CLASSES,
                "data.labels": "names classes, and texts have none; drop it for task {task}",
                "data.normalize_labels": "merges classes, and texts have none; drop it for task {task}",
                "data.labels_file": "is of classes, and texts have none; drop it for task {task}",
                "data.quality.similar_labels=warn": _LOOKS_AT_CLASSES,
                "data.quality.odd_labels=warn": _LOOKS_AT_CLASSES,
                "data.quality.label_noise=drop": _LOOKS_AT_CLASSES,
                "data.quality.label_noise=fail": _LOOKS_AT_CLASSES,
                "data.quality.class_imbalance=fail": _LOOKS_AT_CLASSES,
                "data.quality.too_few_per_class=fail": _LOOKS_AT_CLASSES,
                "stages[].data.classes": "texts have none; select rows with data.where",
                "stages[].data.wrong_labels": "exchanges classes, and texts have none; drop it",
                "stages[].objective": "{value} pairs texts by their class, and these have none; drop it",
                "stages[].loss=focal": "focal is for classes that are rare; use cross-entropy, or label-smoothing",
                "stages[].adaptation.method=slda": _SUMS_OF_CLASSES,
                "stages[].adaptation.method=prototypes": _SUMS_OF_CLASSES,
                "stages[].adaptation.method=prompt": (
                    "prompt puts vectors in front of texts that are classified; use lora or adapter"
                ),
                "stages[].adaptation.method=bitfit": "bitfit moves biases, and T5 has none; use lora or adapter",
                "stages[].precision=mixed_float16": _NO_FLOAT16,
                "stages[].precision=mixed_bfloat16": _NO_FLOAT16,
                "stages[].retention.lwf": _SOFT_TARGETS,
                "stages[].retention.distill": _SOFT_TARGETS,
                "stages[].retention.ewc.fisher=exact": _SEQUENCES_OF_TOKENS,
                "stages[].retention.ewc.fisher=sampled": _SEQUENCES_OF_TOKENS,
                "stages[].retention.average=ensemble": (
                    "an ensemble adds up probabilities of classes, and texts have none; use wise-ft or soup"
                ),
                "stages[].release.max_drift": (
                    "compares how often each class is said, and texts have none; use max_disagreement"
                ),
            },
        ),
    )
}
"""By the name that plans write; whoever adds an entry before a plan is read has one more task."""


def task_of_builder(builder: str) -> Task | None:
    """Returns the task that a builder's networks are for; None for a builder of one's own."""
    return next((task for task in TASKS.values() if builder in task.builders and builder != OWN_TAG), None)


def task_of_version(manifest: Mapping[str, Any], inputs: Collection[str] = ()) -> Task:
    """Returns the task of a version; where its manifest is older than that key, what it has tells.

    Args:
        manifest: content of its manifest.json.
        inputs: names of the inputs that it is served with, where they are known; they tell more of an old manifest.
    """
    return TASKS.get(str(manifest.get("task"))) or TASKS[_inferred(manifest, inputs)]


def input_kind_of_version(manifest: Mapping[str, Any], inputs: Collection[str] = ()) -> Inputs:
    """Returns what a row is for a version; the arguments are those of `task_of_version`."""
    if manifest.get("input_kind") in get_args(Inputs):
        return manifest["input_kind"]
    kind = task_of_version(manifest, inputs).inputs
    return "vectors" if kind == "columns" and not manifest.get("preprocessing") else kind


def _inferred(manifest: Mapping[str, Any], inputs: Collection[str]) -> str:
    labels, facts = manifest.get("labels"), manifest.get("inputs")
    if labels == []:
        return "translation"
    if labels and labels[0] == "O" and all(label[:2] in ("B-", "I-") for label in labels[1:]):
        return "token-classification"
    if manifest.get("preprocessing") or "features" in inputs:
        return "tabular-classification"
    if "image" in inputs or (facts and "size" in facts):
        return "image-classification"
    # Rows of numbers are those of which a caller has to know nothing.
    return "text-classification" if facts or facts is None or "text" in inputs else "tabular-classification"
