"""Where the program runs, and how it is ended: no home, no stderr, signals at a bad moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A command that talks on stderr and on stdout, and works for a while.
TALKS = """
import sys
from gateway.cli import main
from gateway.cli.terminal import TerminalTalk
from gateway.cli import app as _
import gateway.cli

def work():
    talk = TerminalTalk()
    with talk.stage("working [link=http://a.b]x[/link]", 3) as advance:
        advance(1)
    talk.say("a note")
    sys.stderr.write("more\\n")
    sys.stdout.write("data\\n")
    open("made.txt", "w").write("whole")

gateway.cli.app = work
main()
"""
# As the compiler: Python is called from native code, where an exception has nowhere to go.
SWALLOWS = """
import ctypes, sys, time
import gateway.cli

@ctypes.CFUNCTYPE(None)
def called():
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass

def work():
    print("at work", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        called()
        time.sleep(float(sys.argv[1]))
    print("went on", flush=True)

gateway.cli.app, gateway.cli.PATIENCE_SECONDS = work, 1.0
gateway.cli.main()
"""
HERE = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}


def shell(line: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable], cwd=cwd, env=HERE | more, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "ending", ["2>&-", "2>/dev/full", "2>&- <&-", "2> >(exec true)", "<&- 2>/dev/null"]
)
def test_stderr__that_takes_nothing_costs_no_run(tmp_path, ending) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    done = shell(f'"$1" talks.py {ending}', tmp_path)
    assert done.returncode == 0
    assert done.stdout == "data\n"
    # Nothing that was said went into a file that was opened in the place of stderr.
    assert (tmp_path / "made.txt").read_text() == "whole"


def test_stdout__that_is_closed_takes_nothing(tmp_path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    assert shell('"$1" talks.py >&-', tmp_path).returncode == 0
    assert (tmp_path / "made.txt").read_text() == "whole"


@pytest.mark.parametrize("home", ["HOME=/nowhere", "HOME=/proc", "HOME=relative", "HOME="])
def test_home__that_is_none_is_no_trouble(tmp_path, home) -> None:
    """As in a container: no entry in the list of users, and no folder to write to."""
    code = "import gateway._numba as n; print(n.CACHE)"
    name, value = home.split("=")
    done = shell(f"\"$1\" -c '{code}'", tmp_path, **{name: value})
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_home__without_an_entry_in_the_list_of_users(tmp_path) -> None:
    code = (
        'import os, pwd; os.environ.pop("HOME", None); pwd.getpwuid = {}.__getitem__; '
        "import gateway._numba as n; print(n.CACHE)"
    )
    done = shell(f"\"$1\" -c '{code}'", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "None\n"
    assert "no home folder" in done.stderr


@pytest.mark.parametrize("rest", [0.1, 0.0])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_signal__in_a_callback_of_native_code_ends_the_run(tmp_path, name, code, rest) -> None:
    """Where Python is at work in between, and where it never is."""
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    with subprocess.Popen(
        [sys.executable, "swallows.py", str(rest)], cwd=tmp_path, env=HERE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout.readline() == "at work\n"
        time.sleep(0.1)
        running.send_signal(getattr(signal, name))
        out, err = running.communicate(timeout=50)
    assert (running.returncode, out) == (code, "")
    assert "Traceback" not in err
