"""Which libraries may be imported where, and when."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"matplotlib", "numba", "scipy", "sklearn"}
# They run code when they read, or write bytes that depend on the Python that wrote them.
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def _libraries(source: str) -> Iterator[str]:
    """Yield the top-level name of every import, also of those inside functions.

    What is imported for the types alone is not: it is never loaded.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and _is_import_call(node):
            yield str(ast.literal_eval(node.args[0])).partition(".")[0]


def _is_import_call(node: ast.Call) -> bool:
    name = ast.unparse(node.func).rpartition(".")[2]
    is_literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
    return name in {"import_module", "__import__"} and is_literal


def _importers(libraries: set[str], files: list[Path]) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if libraries & set(_libraries(path.read_text(encoding="utf-8")))
    }


@pytest.mark.parametrize(
    "source",
    [
        "import numba",
        "import numba.core.types as t",
        "from numba import njit",
        "def f():\n    from numba.typed import List",
        "from importlib import import_module\nimport_module('numba.typed')",
    ],
)
def test_libraries__finds_every_form_of_import(source: str) -> None:
    assert "numba" in set(_libraries(source))


def test_libraries__finds_nothing_in_text() -> None:
    got = set(_libraries("'''import numba'''\nfrom gateway._numba import kernel  # numba"))
    assert got == {"gateway"}


def test_numba__is_imported_by_kernels_alone() -> None:
    got = {
        path
        for path in _importers({"llvmlite", "numba"}, MODULES)
        if not path.endswith("_kernels.py")
    }
    assert got == {"gateway/_compiling.py", "gateway/_numba.py"}


def test_matplotlib__is_imported_by_figures_alone() -> None:
    got = {
        path
        for path in _importers({"matplotlib", "mpl_toolkits"}, MODULES)
        if not path.startswith("gateway/figures/")
    }
    assert got == set()


def test_pickle__is_imported_nowhere() -> None:
    ours = [path for folder in ("experiments", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert _importers(UNSAFE, MODULES + ours) == set()


def _loaded_by(*arguments: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter loads."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stderr.splitlines()
    timed = [line for line in lines if line.startswith("import time:")]
    assert run.returncode == 0, [line for line in lines if line not in timed]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in timed}


def test_loaded_by__sees_what_is_loaded() -> None:
    assert {"gateway", "numba"} <= _loaded_by("-c", "import gateway._numba")


def test_gateway__is_imported_without_heavy_libraries() -> None:
    got = _loaded_by("-c", "import gateway")
    assert "gateway" in got
    assert not got & HEAVY


def test_help__is_printed_without_heavy_libraries() -> None:
    got = _loaded_by("-m", "gateway", "--help")
    assert "gateway" in got
    assert not got & HEAVY
