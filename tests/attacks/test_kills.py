"""Before every call to the disk SIGKILL, or another process that does the same.

The old or the new is there, whole, and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Calls in which each thing is killed, at least: fewer would mean that they are not seen.
LEAST = {"first": 20, "force": 30, "redraw": 10, "convert": 40, "sweep": 80}


@pytest.mark.compiled
@pytest.mark.parametrize(
    "action",
    # Two hundred kills of a sweep take a minute; what is replaced is written as what is new.
    [
        pytest.param(name, marks=() if name in {"force", "convert"} else pytest.mark.slow)
        for name in LEAST
    ],
)
def test_kill__before_any_call_leaves_old_or_new(tmp_path, action) -> None:
    assert disturbed("kill", action, tmp_path) >= LEAST[action]


@pytest.mark.compiled
@pytest.mark.parametrize(
    "action",
    [pytest.param(name, marks=pytest.mark.slow if name == "sweep" else ()) for name in LEAST],
)
def test_two_writers__at_any_call_leave_what_is_whole(tmp_path, action) -> None:
    assert disturbed("beside", action, tmp_path) >= LEAST[action]


def disturbed(how: str, action: str, folder: Path) -> int:
    """How often something was disturbed, which held each time."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed.py")), how, action, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=2_000,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
