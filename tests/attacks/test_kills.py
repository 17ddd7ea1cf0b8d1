"""Before every call to the disk SIGKILL, or another process that does the same.

The old or the new is there, whole, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Calls in which each thing is killed, at least: fewer would mean that they are not seen.
LEAST = {"first": 20, "force": 30, "redraw": 10, "convert": 40, "sweep": 80}


def usual(*actions: str) -> list[Any]:
    """These always, the others with `make verify`: two hundred kills of a sweep take a minute."""
    others = tuple(name for name in LEAST if name not in actions)
    return [
        pytest.param(actions, id="usual"),
        pytest.param(others, marks=pytest.mark.slow, id="other"),
    ]


@pytest.mark.compiled
@pytest.mark.parametrize("actions", usual("force", "convert"))
def test_kill__before_any_call_leaves_old_or_new(tmp_path, actions) -> None:
    """What is replaced is written as what is new."""
    check_disturbed("kill", actions, tmp_path)


@pytest.mark.compiled
@pytest.mark.parametrize("actions", usual("first", "force", "redraw", "convert"))
def test_two_writers__at_any_call_leave_what_is_whole(tmp_path, actions) -> None:
    check_disturbed("beside", actions, tmp_path)


def check_disturbed(how: str, actions: Sequence[str], folder: Path) -> None:
    """Disturb them in one process, as its start takes seconds; what holds held each time."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed.py")), how, str(folder), *actions],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=2_000,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert list(counts) == list(actions)
    assert all(counts[name] >= LEAST[name] for name in actions), counts
