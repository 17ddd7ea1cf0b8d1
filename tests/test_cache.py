"""The cache of compiled kernels: under several processes at once, and where others can write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numba.core import caching

from gateway import _numba  # noqa: F401  (what this is about)
from gateway._cache import choose_cache, filling, weakness_of

N_VERSIONS = 100


def one_function(folder: Path) -> caching.IndexDataCacheFile:
    return caching.IndexDataCacheFile(str(folder), "kernel", source_stamp=1)


def add_versions(folder: Path, who: str) -> None:
    cache = one_function(folder)
    for i in range(N_VERSIONS):
        cache.save((who, i), f"compiled by {who} for {i}")


def test_cache__holds_what_two_wrote_at_once(tmp_path: Path) -> None:
    """As numba writes it, versions get lost, and some are found under the other's types."""
    with ThreadPoolExecutor(2) as both:
        list(both.map(add_versions, [tmp_path] * 2, "ab"))
    expected = {(who, i): f"compiled by {who} for {i}" for who in "ab" for i in range(N_VERSIONS)}
    got = {key: one_function(tmp_path).load(key) for key in expected}
    assert got == expected


KERNELS = """
from gateway._numba import kernel

@kernel
def one(x):
    return x + 1

@kernel
def two(x):
    return x * 2

print(one(1), one(0.5), two(3))
"""


def compile_in(cache: Path, script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"GATEWAY_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True, text=True, timeout=300, check=True, env=environment,
    )  # fmt: skip


def test_cache__says_once_on_stderr_that_kernels_are_compiled(tmp_path: Path) -> None:
    script = tmp_path / "some_kernels.py"
    script.write_text(KERNELS)
    cold, warm = (compile_in(tmp_path / "cache", script) for _ in range(2))
    assert cold.stdout == warm.stdout == "2 1.5 6\n"
    assert cold.stderr == "compiling kernels, once (about a minute; later starts find them)\n"
    assert warm.stderr == ""


def test_cache__of_files_in_pieces_is_made_anew(tmp_path: Path) -> None:
    script = tmp_path / "some_kernels.py"
    script.write_text(KERNELS)
    compile_in(tmp_path / "cache", script)
    for path in (tmp_path / "cache").rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:20])
    damaged, warm = (compile_in(tmp_path / "cache", script) for _ in range(2))
    assert damaged.stdout == warm.stdout == "2 1.5 6\n"
    assert warm.stderr == ""


def make_open(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def behind_another(folder: Path) -> Path:
    make_open(folder.with_name("open")).joinpath("mine").mkdir(mode=0o700)
    return folder.with_name("open") / "mine"


def of_a_group(folder: Path) -> Path:
    folder.mkdir()
    os.chown(folder, -1, os.getuid() + 1)
    folder.chmod(0o770)
    return folder


def of_somebody(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    os.chown(folder, os.getuid() + 1, -1)
    return folder


def behind_a_link(folder: Path) -> Path:
    folder.symlink_to(folder.parent)
    os.chown(folder, os.getuid() + 1, -1, follow_symlinks=False)
    return folder


def of_a_file(folder: Path) -> Path:
    folder.write_text("mine")
    return folder / "cache"


WEAK = {
    "in the current folder": (lambda _: Path("cache"), "is no absolute path"),
    "open to all": (make_open, "can be written to by others"),
    "in a folder that is open to all": (behind_another, "which others can change"),
    "of a group": (of_a_group, "can be written to by others"),
    "of somebody else": (of_somebody, "is somebody else's"),
    "behind a link of somebody else": (behind_a_link, "behind somebody else's link"),
    "below a file": (of_a_file, "cannot be made (Not a directory)"),
}


@pytest.mark.parametrize("kind", WEAK)
def test_cache__where_others_can_write_is_none(tmp_path: Path, kind: str) -> None:
    make, expected = WEAK[kind]
    if kind.startswith(("of a group", "of somebody", "behind")) and os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    assert expected in str(weakness_of(make(tmp_path / "cache")))


def test_cache__of_ones_own_is_made_for_nobody_else(tmp_path: Path) -> None:
    assert weakness_of(tmp_path / "a" / "cache") is None
    assert (tmp_path / "a" / "cache").stat().st_mode & 0o777 == 0o700
    # As /tmp: others can add folders, and cannot exchange ours.
    tmp_path.chmod(0o1777)
    assert weakness_of(tmp_path / "a" / "cache") is None


@pytest.mark.parametrize("given", ["", "relative/cache"])
def test_cache__does_not_depend_on_where_the_program_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    got, _ = choose_cache("name", {"XDG_CACHE_HOME": given})
    assert got == tmp_path / ".cache" / "gateway" / "numba" / "name"
    got, why = choose_cache("name", {"GATEWAY_CACHE_DIR": "relative"})
    assert (got, why) == (None, "relative/gateway/numba/name is no absolute path")


def test_kernels__run_where_no_cache_is_safe_and_leave_nothing(tmp_path: Path) -> None:
    script = tmp_path / "some_kernels.py"
    script.write_text(KERNELS)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    done = compile_in(tmp_path / "cache", script)
    assert done.stdout == "2 1.5 6\n"
    assert done.stderr.count("\n") == 1
    assert "kernels are compiled anew each time" in done.stderr
    assert not list(tmp_path.rglob("*.nb?"))


def test_filling__is_cold_once(tmp_path: Path) -> None:
    for expected in (True, False):
        with filling(tmp_path, "marker") as got:
            assert got is expected
    with filling(tmp_path, "another") as got:
        assert got
    with pytest.raises(ZeroDivisionError), filling(tmp_path, "third"):
        _ = 1 / 0
    with filling(tmp_path, "third") as got:
        assert got
    with filling(None, "marker") as got:
        assert got


ASSEMBLED = """
from numba.core import codegen

assemble = codegen.JITCodeLibrary._finalize_specific
assembled = []

def note(library):
    assembled.append(library.name)
    assemble(library)

codegen.JITCodeLibrary._finalize_specific = note

import numpy as np
from gateway._numba import inner_kernel, kernel, making_kernel, parallel_kernel, part_kernel, prange

@part_kernel
def double(x):
    return 2 * x

@inner_kernel
def more(x):
    return double(x) + max(x, 1)

@making_kernel
def many(n):
    return np.full(n, 1)

@kernel
def alone(x):
    return more(x)

@parallel_kernel
def fill(a):
    for i in prange(len(a)):
        a[i] = more(i) + alone(np.int64(i)) + many(2).sum()

a = np.zeros(4, np.int64)
fill(a)
print(a.tolist(), alone(3), more(3), [name for name in assembled if name in ("fill", "alone")])
print(len([name for name in assembled if name not in ("fill", "alone", "nrt")]))
"""


def test_kernel__is_assembled_once_with_all_it_calls(tmp_path: Path) -> None:
    """numba's own way would assemble each function, and each loop three times more."""
    script = tmp_path / "whole_kernels.py"
    script.write_text(ASSEMBLED)
    cold, warm = (compile_in(tmp_path / "cache", script).stdout for _ in range(2))
    assert cold == "[4, 8, 14, 20] 9 9 ['alone', 'fill']\n0\n"
    assert warm == "[4, 8, 14, 20] 9 9 ['fill', 'alone']\n0\n"


COUNTED = (
    KERNELS
    + """
print(*(sum(each.stats.cache_misses.values()) for each in (one, two)))
"""
)


def test_cache__of_two_at_once_one_compiles_and_the_other_waits(tmp_path: Path) -> None:
    script = tmp_path / "some_kernels.py"
    script.write_text(COUNTED)
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(compile_in, [tmp_path / "cache"] * 2, [script] * 2))
    answers, counts = zip(*(run.stdout.splitlines() for run in done), strict=True)
    assert answers == ("2 1.5 6", "2 1.5 6")
    assert sum(int(n) for one in counts for n in one.split()) == 3


AHEAD = """
import os, subprocess, sys, time
from gateway._numba import kernel
from gateway.ahead import compiling_ahead
from gateway.config import parse_config
from tests.worlds import SMALL

@kernel
def one(x):
    return x + 1

started = []

class Noted(subprocess.Popen):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        started.append(self)

subprocess.Popen = Noted

with compiling_ahead(parse_config(SMALL)):
    assert not started
    one(1), one(0.5)
    print(started[0].pid, started[0].poll(), len(started), flush=True)
    if sys.argv[1:] == ["killed"]:
        os.abort()
print(started[0].returncode)
"""


def test_compiling_ahead__begins_with_the_first_kernel_and_ends_with_the_block(tmp_path) -> None:
    script = tmp_path / "ahead_kernels.py"
    script.write_text(AHEAD)
    _, *got = compile_in(tmp_path / "cache", script).stdout.split()
    assert got == ["None", "1", str(-signal.SIGTERM)]


def test_compiling_ahead__ends_with_a_process_that_is_killed(tmp_path) -> None:
    script = tmp_path / "ahead_kernels.py"
    script.write_text(AHEAD)
    with pytest.raises(subprocess.CalledProcessError) as ended:
        compile_in(tmp_path / "cache", script, "killed")
    pid = ended.value.stdout.split()[0]
    latest = time.monotonic() + 100
    while Path("/proc", pid).exists() and ") Z " not in Path("/proc", pid, "stat").read_text():
        assert time.monotonic() < latest
        time.sleep(0.05)
