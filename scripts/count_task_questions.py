"""Counts the places that ask which task or kind of input something is, instead of asking the task itself.

Run `python scripts/count_task_questions.py`: it prints file:line of each, and how many there are. Above `LIMIT` it
exits with 1; `make lint` runs it with `--quiet`, which prints them only then. Whoever removes some lowers the limit to
what is left.

A task is described in `plan/tasks.py`, what it reads in `data/kinds.py`, and what it answers in folders called
`answers`: there, such questions are the point and are not counted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT = 0
ROOT = Path(__file__).resolve().parents[1] / "progressive_tf"
NOT_COUNTED = ("plan/tasks.py", "data/kinds.py")
ANSWERS = "answers"

TASKS = {
    "text-classification",
    "token-classification",
    "image-classification",
    "tabular-classification",
    "translation",
}
# What a row is, what is answered about it, and what a source is read as or holds.
KINDS = {"texts", "words", "images", "columns", "vectors", "sentences", "pairs", "rows", "table", "tags", "classes"}
# What holds such a word.
ASKED = {"kind", "input_kind", "inputs", "answers", "reads", "possible", "task"}
# What is one of several kinds where it is looked for among those that a constant lists.
LISTED = {"input_kind", "inputs", "answers"}
# Each of these classes is of one task, or of one kind of input or answer.
CLASSES = {
    *("Translator", "Tagger", "BertTagger", "Bert", "T5", "Mlp", "ResNet50"),
    *("ClassAnswers", "TagAnswers", "TextAnswers"),
    *("ServedTagger", "ServedTranslator", "Tagging", "Classification", "TaggedReader"),
}
CLASS_ENDS = ("Preprocessing", "Translator", "Tagger")
# Attributes that say which it is.
ATTRIBUTES = {"tags_words", "writes"}
# Names of signatures that only some versions have.
SIGNATURES = {"signatures", "_signatures"}


def questions(source: str) -> Iterator[tuple[int, str]]:
    """Yields the line of each question in a module, and its text.

    Args:
        source: the module's text.
    """
    tree = ast.parse(source)
    conditions = {id(part) for node in ast.walk(tree) for test in _conditions(node) for part in ast.walk(test)}
    found = [
        node for node in ast.walk(tree) if isinstance(node, ast.expr) and _is_question(node, id(node) in conditions)
    ]
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
        yield node.lineno, ast.unparse(node)


def _conditions(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        return [node.test]
    if isinstance(node, ast.comprehension):
        return node.ifs
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.operand] if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else []


def _is_question(node: ast.expr, is_condition: bool) -> bool:
    if isinstance(node, ast.Call):
        return _asks_for_class(node) or _asks_for_words(node)
    if isinstance(node, ast.Attribute):
        asks_for_tags = is_condition and node.attr == "tags" and _name(node.value) == "classes"
        return isinstance(node.ctx, ast.Load) and (node.attr in ATTRIBUTES or asks_for_tags)
    return isinstance(node, ast.Compare) and _compares(node)


def _asks_for_class(call: ast.Call) -> bool:
    if _name(call.func) not in ("isinstance", "issubclass") or len(call.args) != 2:
        return False
    names = {_name(each) for each in ast.walk(call.args[1])}
    return bool(names & CLASSES) or any(name.endswith(CLASS_ENDS) for name in names)


def _asks_for_words(call: ast.Call) -> bool:
    """Whether a text that describes something is searched for a word about its kind, as in `.endswith(", image")`."""
    if _name(call.func) not in ("endswith", "startswith"):
        return False
    words = {
        word.strip(", ")
        for each in call.args
        for part in ast.walk(each)
        for word in _strings(part)
        if word.startswith(", ")
    }
    return any(word in KINDS or f"{word}s" in KINDS for word in words)


def _compares(compare: ast.Compare) -> bool:
    sides = [compare.left, *compare.comparators]
    members = [each for side in sides for each in (side.elts if isinstance(side, ast.Tuple | ast.List) else [side])]
    names = {_name(side) for side in sides}
    strings = {word for side in sides for part in ast.walk(side) for word in _strings(part)}
    if strings & TASKS or (strings & KINDS and names & ASKED):
        return True
    is_membership = any(isinstance(operator, ast.In | ast.NotIn) for operator in compare.ops)
    if is_membership and _name(compare.left) in LISTED and _name(compare.comparators[0]).isupper():
        return True
    if "labels" in names and any(isinstance(side, ast.List) and not side.elts for side in sides):
        return True
    if names & SIGNATURES:
        return _name(compare.left).isupper() or isinstance(compare.left, ast.Constant)
    if any(isinstance(operator, ast.Is | ast.IsNot) for operator in compare.ops):
        of_source = isinstance(compare.left, ast.Attribute) and _name(compare.left.value) != "feedback"
        return "tagged" in names or ("expected" in names and of_source)
    # One task with others, as constants of a module or as attributes of builders.
    is_named = [_name(each).isupper() or isinstance(each, ast.Attribute | ast.Constant) for each in members]
    return "task" in names and all(is_named)


def _name(node: ast.AST) -> str:
    """Returns what a name, an attribute, a subscript by a word or `.get` of one is called; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return next(_strings(node.slice), "")
    if isinstance(node, ast.Call) and _name(node.func) == "get" and node.args:
        return next(_strings(node.args[0]), "")
    return ""


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def main(root: Path = ROOT, limit: int = LIMIT, quiet: bool = False) -> int:
    """Prints every question below a folder, and how many there are; returns 1 where there are more than the limit.

    Args:
        root: of the package.
        limit: how many there may be.
        quiet: print them only where there are more.
    """
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.as_posix() not in NOT_COUNTED and ANSWERS not in name.parts[:-1]:
            asked = questions(path.read_text(encoding="utf-8"))
            found += [f"{root.name}/{name.as_posix()}:{line}: {text}" for line, text in asked]
    if not quiet or len(found) > limit:
        print(*found, sep="\n")
    print(f"{len(found)} questions about the task or the kind of input; at most {limit}")
    if len(found) > limit:
        print("too many: ask the task (plan/tasks.py) what follows from it, and not which it is")
    elif len(found) < limit:
        print(f"lower LIMIT in {Path(__file__).name} to {len(found)}")
    return int(len(found) > limit)


if __name__ == "__main__":
    sys.exit(main(quiet=sys.argv[1:] == ["--quiet"]))
