"""Every snippet of the documentation is what its language and this package accept."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import shlex
from collections.abc import Callable
from importlib.metadata import metadata
from importlib.util import find_spec
from typing import Any

import pytest
import typer
import yaml
from pages import ROOT, Snippet, blocks, command_lines, commands_in_text, pages

from progressive_tf.__main__ import COMMANDS
from progressive_tf.assets.catalogue import is_asset
from progressive_tf.plan.loading import check_space, shipped_plans, sweep_settings, validate
from progressive_tf.plan.merging import apply_override
from progressive_tf.plan.schema import Stage

BLOCKS = [block for page in pages() for block in blocks(page)]
IN_TEXT = [command for page in pages() for command in commands_in_text(page)]
PLACEHOLDERS = ("P", "PLAN")


def of_language(language: str) -> pytest.MarkDecorator:
    """Runs a test for each block of a language."""
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == language], ids=str)


def test_every_block_names_a_language_that_is_checked() -> None:
    assert len(BLOCKS) > 50
    known = {"sh", "yaml", "python", "json", "text", "mermaid"}
    assert [str(block) for block in BLOCKS if block.language not in known] == []


@pytest.mark.parametrize("page", pages())
def test_no_block_is_written_by_indenting_it(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lists = re.compile(r"^(?:[-*]|\d+\.) .*\n(?:\n?  +.*\n)*", re.M)
    assert re.findall(r"^\n {4,}\S.*", lists.sub("", outside), re.M) == []


@of_language("json")
def test_json_is_json(block: Snippet) -> None:
    json.loads(block.text)


@of_language("python")
def test_python_compiles(block: Snippet) -> None:
    compile(block.text, str(block), "exec")


@of_language("yaml")
def test_yaml_is_a_plan_or_what_a_plan_can_have(block: Snippet) -> None:
    found = yaml.safe_load(block.text)
    stage = {"name": "full", "data": {"all": True}}
    plan = yaml.safe_load(shipped_plans()["movie-reviews"].read_text(encoding="utf-8")) | {"stages": [stage]}
    if isinstance(found, list):
        plan["stages"] = found
    elif all(
        "." in key or (isinstance(value, dict) and {"choice", "int", "float"} & set(value))
        for key, value in found.items()
    ):
        checked = validate(plan, str(block))
        space = sweep_settings(checked, 0, {"space": found}).space
        assert space is not None
        check_space(checked, 0, space, str(block))
        return
    elif set(found) <= set(Stage.model_fields) and "stages" not in found:
        # "data" of a stage and of a plan have nothing in common but their name.
        plan = apply_override(plan, found if "data" in found else {"defaults": found}, str(block))
    else:
        replaced = {key: plan[key] for key in plan if key not in found or "task" not in found}
        if "task" in found:
            replaced["defaults"] = {"gate": plan["defaults"]["gate"]}
        plan = apply_override(replaced, found, str(block))
    assert validate(plan, str(block)).stages


@of_language("mermaid")
def test_a_drawing_has_the_layers_that_imports_are_checked_by(block: Snippet) -> None:
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages, of_training = (
        [re.findall(r"(?<![\w.])(?:progressive_tf\.)?(\w+)", line) for line in layers.splitlines()]
        for layers in re.findall(r"^layers = \[\n(.*?)^\]", contracts, re.M | re.S)
    )
    within, beside = block.text.partition("\n    end\n")[::2]
    labels = dict(re.findall(r'(\w+)\["(.+?)"\]', block.text))

    def order(drawn: str) -> list[list[str]]:
        arrows = [line.split("-->") for line in drawn.splitlines() if "-->" in line]
        nodes = dict.fromkeys(node.strip() for node in itertools.chain(*arrows))
        return [labels.get(node, node).split(", ") for node in nodes]

    assert (order(within), order(beside)) == (of_training, packages)


@of_language("sh")
def test_a_shell_block_has_commands_that_exist(block: Snippet) -> None:
    for line in command_lines(block.text):
        check_command(line)


@pytest.mark.parametrize("command", IN_TEXT, ids=lambda command: f"{command}: {command.text}")
def test_a_command_in_the_text_exists(command: Snippet) -> None:
    if command.text.startswith("--"):
        assert shlex.split(command.text)[0] in flags_of_all_commands()
    else:
        check_command(command.text)


@pytest.mark.parametrize(
    "line",
    [
        "make everything",
        "python -m progressive_tf.train --epochs 3",
        "python -m progressive_tf.train --plan ofline",
        "python -m progressive_tf.release undo offline",
        "python -m progressive_tf.assets fetch nothing",
        "python -m benchmarks nothing",
        "python -m benchmarks.nothing",
        "scripts/nothing",
        "progressive-tf trian",
        "progressive-tf train --epochs 3",
        "pip install '.[nothing]'",
        "sudo rm",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        check_command(line)


def check_command(line: str) -> None:
    """Fails where a reader who types a command would be told that there is no such thing."""
    words = shlex.split(line)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/")
    for known, check in PROGRAMS.items():
        if program == known or (known.endswith("/") and program.startswith(known)):
            check(words)
            return
    assert program in COMMANDS, f"{line}: no test knows {program}"
    check_module([f"progressive_tf.{program}", *words[1:]])


def check_python(words: list[str]) -> None:
    if words[1].startswith("scripts/"):
        assert (ROOT / words[1]).is_file()
    elif words[1] in {block.title for block in BLOCKS}:
        assert words[1].endswith(".py")
    elif words[1] == "-c":
        compile(words[2], "-c", "exec")
    else:
        assert words[1] == "-m"
        check_module(words[2:])


def check_module(words: list[str]) -> None:
    module, arguments = words[0], words[1:]
    if module == "progressive_tf":
        check_program(["progressive-tf", *arguments])
        return
    if module == "benchmarks":
        assert set(arguments) <= set(importlib.import_module("benchmarks.__main__").BENCHMARKS)
        return
    assert find_spec(module) is not None, module
    if module.startswith("benchmarks."):
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert [flag for flag in arguments if flag.startswith("--") and f'"{flag}"' not in source] == []
    elif module.startswith("progressive_tf."):
        parse(module, arguments)


def parse(module: str, arguments: list[str]) -> None:
    """Reads a command line as the command does, and stops where it would begin to work."""
    command = command_of(module)
    try:
        if hasattr(command, "resolve_command") and arguments:
            _, command, arguments = command.resolve_command(command.context_class(command), arguments)
        if not arguments:
            return  # a command's name, without what it needs
        values = command.make_context(command.name, list(arguments)).params
    except typer.Exit:
        return
    except Exception as error:
        raise AssertionError(f"{module} {shlex.join(arguments)}: {error}") from error
    plan = str(values.get("plan") or "movie-reviews")
    assert plan in shipped_plans() or plan in PLACEHOLDERS or plan.endswith(".yaml"), plan
    if module == "progressive_tf.assets" and command.name == "fetch":
        assert [name for name in values["names"] or [] if not is_asset(name) and name != "<name>"] == []


def command_of(module: str) -> Any:
    name = COMMANDS[module.rpartition(".")[2]][0]
    return typer.main.get_command(importlib.import_module(name).app)


def flags_of_all_commands() -> set[str]:
    scripts = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")]
    flags = {flag for script in scripts for flag in re.findall(r'"(--[a-z-]+)"', script.read_text(encoding="utf-8"))}
    for name in COMMANDS:
        command = command_of(f"progressive_tf.{name}")
        for each in [command, *getattr(command, "commands", {}).values()]:
            flags.update(flag for parameter in each.params for flag in (*parameter.opts, *parameter.secondary_opts))
    return flags | {"--help"}


def check_make(words: list[str]) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert targets is not None
    assert set(words[1:]) <= set(targets[1].split())


def check_program(words: list[str]) -> None:
    assert words[1] in COMMANDS
    parse(f"progressive_tf.{words[1]}", words[2:])


def check_pip(words: list[str]) -> None:
    assert words[1] == "install"
    extras = {extra for word in words[2:] if "[" in word for extra in word.partition("[")[2].rstrip("]").split(",")}
    assert extras <= set(metadata("progressive-tf").get_all("Provides-Extra") or [])


def check_script(words: list[str]) -> None:
    assert (ROOT / words[0]).is_file()


def accept(words: list[str]) -> None:
    """Takes a program of others at its word."""


PROGRAMS: dict[str, Callable[[list[str]], Any]] = {
    "python": check_python,
    "make": check_make,
    "pip": check_pip,
    "progressive-tf": check_program,
    "scripts/": check_script,
    "mkdir": accept,
    "cp": accept,
    "cat": accept,
    "echo": accept,
    "openssl": accept,
    "export": accept,
    "wait": accept,
    "docker": accept,
    "pre-commit": accept,
    "tensorflow_model_server": accept,
    "curl": accept,
}
