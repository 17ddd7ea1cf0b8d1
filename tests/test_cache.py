"""The cache of compiled kernels, under several processes at once."""

from __future__ import annotations

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
