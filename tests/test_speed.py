"""Hot paths against a plain loop in the same process: what gets slower is noticed.

Ratios and not seconds; how they are measured says `experiments/hot_paths.py`. Instruction
counts would be steadier still, but the processor's counter is closed in most containers and
virtual machines, and an emulator needs a minute to start a compiler.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from experiments.hot_paths import HOT_PATHS, ratio
from gateway._numba import set_threads, threads

pytestmark = pytest.mark.compiled

SLOWER = 3
# Rows of the plain loop in the time of one row: what `experiments/hot_paths.py` prints on the
# machine of docs/results/scaling.md, times 1.4 for loops in the cache, whose ratio neither other
# processes nor another day moved by more than 3 %, and times 1.8 for the two that go beyond
# it, which busy neighbours raised by up to a third. The rest of either is for processors that
# compare an exponential with a read from memory in another way.
BOUNDS = {
    "train, one evaluation": 4.1,
    "score": 7.7,
    "spike": 9.0,
    "self-controlled, one evaluation": 5.0,
    "simulate": 1_300.0,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = threads()
    set_threads(1)
    yield
    set_threads(before)


@pytest.mark.parametrize("name", HOT_PATHS)
def test_hot_path__costs_less_than_so_many_rows_of_a_plain_loop(name: str) -> None:
    assert ratio(name) < BOUNDS[name]


@pytest.mark.parametrize("name", HOT_PATHS)
def test_bound__is_passed_by_work_done_several_times(name: str) -> None:
    got = ratio(name, times=SLOWER)
    assert got > BOUNDS[name], "the path has got so much faster that its bound must come down"
