"""A guard for every test: an assertion inside a loop that is never reached proves nothing.

A loop over what happened to be an empty list passes whatever is broken. While a test runs,
the lines of its own module are watched; where a loop was begun and an assertion in it never
reached, the test fails. A parametrised test is judged over its whole set of parameters, and
only where one process runs all of them.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Generator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_REACHED: dict[tuple[Path, str], set[int]] = defaultdict(set)
_BEGUN: dict[tuple[Path, str], set[int]] = defaultdict(set)
_FAILED = pytest.StashKey[list[str]]()


@cache
def loops_of(path: Path) -> dict[str, list[tuple[int, int]]]:
    """(line of the loop, line of an assertion in it) by name of the test."""
    found: dict[str, list[tuple[int, int]]] = {}
    for test in ast.walk(ast.parse(path.read_text())):
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            pairs = {
                (loop.lineno, inner.lineno)
                for loop in ast.walk(test)
                if isinstance(loop, ast.For)
                for inner in ast.walk(loop)
                if isinstance(inner, ast.Assert)
            }
            if pairs:
                found[test.name] = sorted(pairs)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Watch a test that has assertions in loops."""
    name = pyfuncitem.originalname
    pairs = loops_of(pyfuncitem.path).get(name, [])
    if not pairs or sys.gettrace() is not None:  # a debugger or coverage sits there
        return (yield)
    lines, key = set[int](), (pyfuncitem.path, name)
    file = str(pyfuncitem.path)

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        lines.add(frame.f_lineno)
        if event == "return":
            sys.settrace(on_call)
        return on_line

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        code = frame.f_code
        if code.co_name != name or code.co_filename != file:
            return None
        # Python tells of every call that the test makes as well. Asked for the attribute "call"
        # of a frame, or else None, getattr says None, and takes least: a function of ours makes
        # what calls much, numba's compiler for one, half as slow again.
        sys.settrace(getattr)
        return on_line

    sys.settrace(on_call)
    try:
        result = yield
    finally:
        sys.settrace(None)
    _BEGUN[key] |= {loop for loop, _ in pairs} & lines
    _REACHED[key] |= lines
    if not hasattr(pyfuncitem, "callspec"):
        silent = _silent(key)
        if silent:
            pytest.fail(silent, pytrace=False)
    return result


def _silent(key: tuple[Path, str]) -> str:
    never = [
        inner
        for loop, inner in loops_of(key[0])[key[1]]
        if loop in _BEGUN[key] and inner not in _REACHED[key]
    ]
    if not never:
        return ""
    at = ", ".join(map(str, sorted(set(never))))
    return f"{key[0].name}: {key[1]}: no pass of its loop reached the assertion of line {at}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Judge parametrised tests that this process ran whole."""
    if hasattr(session.config, "workerinput"):
        return
    if session.config.option.keyword or any("[" in a for a in session.config.args):
        return
    said = [silent for key in _REACHED if (silent := _silent(key))]
    if said and session.exitstatus == 0:
        session.config.stash[_FAILED] = said
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which."""
    for line in terminalreporter.config.stash.get(_FAILED, []):
        terminalreporter.write_line(line, red=True)
