"""Counts how many small faults in the core packages the quick tests notice, and lists those that they do not.

Run `python scripts/mutants.py` (cosmic-ray has to be installed), with names of packages for these alone, with
`--seed N` for another sample. A mutant is a package with one operator, number, condition or exception replaced by
cosmic-ray. At most one is made at a place, and `size` of them, drawn by a hash of the seed and the place, are tried per
package: first on the tests that run its line, then, where it survives, on all tests of the package.

Left out are what no test should care about: unions in annotations, decorators, `strict=` and `TYPE_CHECKING`.
cosmic-ray replaces no strings, so the wording of messages is left out too.

The mutants are made in a copy of the working tree, never in the tree itself. Each is tried in a process forked from
this one, which has imported what the tests need from other packages.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import importlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEED = 20261130
# Far more than the slowest of these tests takes, in seconds of the clock for one test and of CPU for all of a mutant's.
TEST_LIMIT, CPU_LIMIT = 90, 400
MEMORY_LIMIT = 16 * 2**30  # bytes
IMPORTED = ("pandas", "pyarrow.parquet", "scipy.stats", "sklearn.metrics", "pydantic", "ruamel.yaml")
QUICK = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", f"--timeout={TEST_LIMIT}")


@dataclass(frozen=True)
class Package:
    """Modules, and the tests that ought to notice a fault in them.

    Args:
        modules: patterns of files.
        tests: files and folders that test these modules, the cheapest first.
        wider: others that use them.
        size: how many mutants are drawn.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    wider: tuple[str, ...]
    size: int


PACKAGES = {
    "plan": Package(("plan/*.py",), ("tests/plan", "tests/test_refusals.py"), ("tests/test_release.py",), 110),
    "evaluation": Package(
        ("evaluation/*.py", "evaluation/answers/*.py"),
        ("tests/evaluation",),
        ("tests/test_compare.py", "tests/test_release.py"),
        110,
    ),
    "registry": Package(
        ("registry/*.py",),
        ("tests/registry",),
        ("tests/serving/test_release_over_http.py", "tests/test_release.py"),
        90,
    ),
    "retention": Package(("retention/*.py",), ("tests/retention",), (), 60),
    "serving": Package(
        (
            "serving/routing.py",
            "serving/canary_*.py",
            "serving/step_counts.py",
            "serving/step_counter.py",
            "serving/pairs.py",
            "serving/proof.py",
            "serving/journals.py",
        ),
        (
            "tests/serving/test_routing.py",
            "tests/serving/test_canary_decision.py",
            "tests/serving/test_canary_watch.py",
            "tests/serving/test_served_store.py",
            "tests/serving/test_step_counter.py",
            "tests/serving/test_pairs.py",
            "tests/serving/test_ask_command.py",
            "tests/test_release.py",
            "tests/serving/test_proof_by_itself.py",
        ),
        (
            "tests/serving/test_release_over_http.py",
            "tests/serving/test_canary_by_itself.py",
        ),
        90,
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One replacement in one module.

    Args:
        module: path of the file, from the root.
        operator: cosmic-ray's name of what is replaced by what.
        occurrence: which of the module's places for this operator it is.
        line: of the place, from 1.
        rank: a hash, by which places are drawn.
    """

    module: str
    operator: str
    occurrence: int
    line: int
    rank: str

    def source(self, source: str) -> str:
        """Returns the module's text with the replacement."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return mutate_code(source, get_operator(self.operator)(), self.occurrence)


def main() -> None:
    """Tries the mutants of the packages that are named, or of all, and prints what survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), metavar="PACKAGE", help=", ".join(PACKAGES))
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.packages) - set(PACKAGES))
    if unknown:
        parser.error(f"no package {', '.join(unknown)}; there are {', '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory() as folder:
        _copy_tree(Path(folder))
        os.chdir(folder)
        os.environ.update(PYTHONPATH=folder, TF_CPP_MIN_LOG_LEVEL="3", TRANSFORMERS_VERBOSITY="error")
        sys.path[0] = folder
        for name in IMPORTED:
            importlib.import_module(name)
        shares = [_survey(name, arguments.seed) for name in arguments.packages]
    print("\n".join(shares))


def _copy_tree(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _survey(name: str, seed: int) -> str:
    """Prints the mutants of one package that survive; returns a line that says how many do not."""
    package = PACKAGES[name]
    code, _ = _tested(
        [
            *package.tests,
            *package.wider,
            "--cov=progressive_tf",
            "--cov-context=test",
            "--cov-report=",
            "--cov-fail-under=0",
        ]
    )
    if code != 0:
        sys.exit(f"{Path('pytest.log').read_text()}\nthe tests of {name} fail without any mutant")
    shutil.copy(".coverage", f".coverage-{name}")
    mutants = chosen(package, seed)
    killed, seconds = 0, 0.0
    for mutant in mutants:
        survived, cost = _survives(mutant, package, f".coverage-{name}")
        killed += not survived
        seconds += cost
    share = f"{killed} of {len(mutants)} mutants killed, {killed / len(mutants):.0%}"
    return f"{name}: {share}, in {seconds / 60:.0f} CPU minutes"


def chosen(package: Package, seed: int) -> list[Mutant]:
    """Returns the mutants that are tried, at different places, in the order of modules and lines."""
    best: dict[tuple[str, object], Mutant] = {}
    for pattern in package.modules:
        for path in sorted(Path("progressive_tf").glob(pattern)):
            for place, mutant in _mutants(path, seed):
                key = (mutant.module, place)
                best[key] = min(best.get(key, mutant), mutant, key=lambda one: one.rank)
    drawn = sorted(best.values(), key=lambda one: one.rank)[: package.size]
    return sorted(drawn, key=lambda one: (one.module, one.line, one.rank))


def _mutants(path: Path, seed: int) -> Iterator[tuple[object, Mutant]]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = path.read_text(encoding="utf-8")
    lines, tree, unwanted = source.splitlines(), get_ast(source), _Unwanted(source)
    nodes = list(ast_nodes(tree))
    for name in operator_names():
        if name.endswith(("RemoveDecorator", "VariableReplacer", "VariableInserter")):
            continue
        operator = get_operator(name)()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, place in enumerate(places):
            line, column = place[0]
            if unwanted.holds(line, column, union="BitOr" in name):
                continue
            which = occurrence if name.endswith("NumberReplacer") else ""  # two at each place
            key = f"{seed} {path} {name} {lines[line - 1]} {column} {which}"
            yield place, Mutant(str(path), name, occurrence, line, hashlib.sha256(key.encode()).hexdigest())


class _Unwanted:
    """Where a module's mutants say nothing about its tests."""

    def __init__(self, source: str) -> None:
        self.unions: list[ast.expr] = []
        self.others: list[ast.expr] = []
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                self.unions.append(node.annotation)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
                self.unions.append(node.returns)
            elif isinstance(node, ast.keyword) and node.arg == "strict":
                self.others.append(node.value)
            elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                self.others.append(node.test)
            self.others.extend(getattr(node, "decorator_list", ()))

    def holds(self, line: int, column: int, union: bool) -> bool:
        return any(
            (node.lineno, node.col_offset) <= (line, column) < (node.end_lineno, node.end_col_offset)
            for node in (self.others + self.unions if union else self.others)
        )


def _survives(mutant: Mutant, package: Package, coverage: str) -> tuple[bool, float]:
    """Tries one mutant; prints it if it survives. Returns whether it does, and the seconds of CPU that it took."""
    path = Path(mutant.module)
    source, times = path.read_text(encoding="utf-8"), path.stat()
    mutated = mutant.source(source)
    path.write_text(mutated, encoding="utf-8")
    # Compiled modules are told by size and time.
    os.utime(path, (times.st_atime, times.st_mtime + 10))
    try:
        covering = _covering(mutant, source, coverage)
        code, seconds = _tested([], covering) if covering else (0, 0.0)
        for tests in (package.tests, () if covering else package.wider):
            if code == 0 and tests:
                code, more = _tested([*tests])
                seconds += more
    finally:
        path.write_text(source, encoding="utf-8")
        os.utime(path, (times.st_atime, times.st_mtime))
    if code == 0:
        print(f"survives: {mutant.module}:{mutant.line} {mutant.operator}, {len(covering)} tests run the line")
        changes = difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=0, lineterm="")
        print("\n".join(line for line in changes if not line.startswith(("---", "+++", "@@"))), flush=True)
    return code == 0, seconds


def _covering(mutant: Mutant, source: str, coverage: str) -> list[str]:
    """Returns the names of the tests that run the statement of a mutant."""
    from coverage import CoverageData

    data = CoverageData(coverage)
    data.read()
    by_line = data.contexts_by_lineno(str(Path(mutant.module).resolve()))
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    around = [node for node in statements if node.lineno <= mutant.line <= (node.end_lineno or node.lineno)]
    first = max((node.lineno for node in around), default=mutant.line)
    found = (name.partition("|")[0] for line in range(first, mutant.line + 1) for name in by_line.get(line, ()))
    return list(dict.fromkeys(filter(None, found)))


class _Only:
    """A plugin that keeps the tests of some names."""

    def __init__(self, names: list[str]) -> None:
        self._names = set(names)

    def pytest_collection_modifyitems(self, items: list[object]) -> None:
        items[:] = [item for item in items if item.nodeid in self._names]  # type: ignore[attr-defined]


def _tested(arguments: list[str], names: list[str] | None = None) -> tuple[int, float]:
    """Runs tests in a process of their own. Returns 0 if all pass, and the seconds of CPU."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import pytest

            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
            silence = os.open("pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            sys.dont_write_bytecode = "--cov=progressive_tf" not in arguments
            files = sorted({name.partition("::")[0] for name in names or ()}, key=_order)
            code = int(
                pytest.main([*QUICK, "--hypothesis-seed=0", *arguments, *files], [_Only(names)] if names else [])
            )
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    return status, usage.ru_utime + usage.ru_stime


def _order(file: str) -> tuple[bool, str]:
    named = [test for package in PACKAGES.values() for test in package.tests]
    return not file.startswith(tuple(named)), file


if __name__ == "__main__":
    main()
