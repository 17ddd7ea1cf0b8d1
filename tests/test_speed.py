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

SLOWER = 4
# Rows of the plain loop in the time of one row: 1.8 times what `experiments/hot_paths.py`
# prints on the machine of docs/measured.md, alone or beside busy processes (docs/scaling.md).
# The rest is for processors that compare an exponential with a read from memory in another
# way. When a path has got faster, its bound comes down: the second test asks for it.
BOUNDS = {
    "train, one evaluation": 4.6,
    "score": 2.0,
    "spike": 10.5,
    "self-controlled, one evaluation": 9.5,
    "simulate": 1_400.0,
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
    assert ratio(name, times=SLOWER) > BOUNDS[name]
