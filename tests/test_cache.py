"""The cache of compiled kernels, under several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from numba.core import caching

from gateway import _numba  # noqa: F401  (what this is about)

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


def compile_in(cache: Path, script: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"GATEWAY_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, timeout=300, check=True, env=environment,
    )  # fmt: skip


def test_cache__says_once_on_stderr_that_kernels_are_compiled(tmp_path: Path) -> None:
    script = tmp_path / "some_kernels.py"
    script.write_text(KERNELS)
    cold, warm = (compile_in(tmp_path / "cache", script) for _ in range(2))
    assert cold.stdout == warm.stdout == "2 1.5 6\n"
    assert cold.stderr == "compiling kernels, once (about a minute; later starts find them)\n"
    assert warm.stderr == ""
