"""The kernels behind the survival detector against their slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
from gateway.detect.survival import CELLS, _Hazard, _index, _ranks, _Spans, _spans, _squares, _sums
from gateway.detect.survival_kernels import deal_out, rank_ticks
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet, named_targets
from tests import naive
from tests.worlds import first_groups, linked_log

SEEDS, CLOCKS = st.integers(0, 60), st.sampled_from(["calendar", "tenure"])
Array = npt.NDArray[Any]


def small_case(seed: int) -> tuple[JoinLog, TargetSet]:
    """A log of few users, some of them observed to before their last join."""
    joins = linked_log(seed, users=20, days=15)
    until = np.random.default_rng(seed).integers(8, 16, joins.n_users)
    last = joins.time[joins.offsets[1:] - 1]
    until = np.where(until % 2, np.maximum(until, last), 15).astype(np.int32)
    user = np.repeat(np.arange(joins.n_users), np.diff(joins.offsets))
    again = JoinLog.from_arrays(user, joins.group, joins.time, observed_until=until)
    return again, first_groups(again, 2)


def steps(n: int, seed: int) -> Array:
    """A step function of n event times."""
    return np.concatenate([[0.0], np.cumsum(np.random.default_rng(seed).random(n))])


def ready_case(seed: int, clock: Any) -> tuple[JoinLog, _Spans, _Hazard, Array, Array]:
    """A case with its spans, ranks and step functions drawn at random."""
    joins, targets = small_case(seed)
    spans = _spans(joins, targets, clock=clock)
    times = np.unique((spans.leave - spans.zero)[spans.event])
    drawn = (steps(len(times), seed + k) for k in range(3))
    hazard = _Hazard(times, *drawn, int(spans.event.sum()))
    return joins, spans, hazard, *_ranks(joins, spans, times)


@given(SEEDS)
def test_spans__are_those_of_the_histories(seed: int) -> None:
    joins, targets = small_case(seed)
    got = _spans(joins, targets, clock="calendar")[:5]
    assert list(zip(*(column.tolist() for column in got), strict=True)) == naive.spans(
        joins, targets
    )


@given(SEEDS, CLOCKS)
def test_ranks__count_the_event_times_so_far(seed: int, clock: str) -> None:
    joins, spans, hazard, joined, left = ready_case(seed, clock)
    for u, i in naive.memberships(joins, spans.n_rows):
        assert joined[i] == naive.rank(hazard.times, int(joins.time[i]) - spans.zero[u])
    last_ticks = (spans.leave - spans.zero).tolist()
    assert left.tolist() == [naive.rank(hazard.times, tick) for tick in last_ticks]


@pytest.mark.parametrize("span", [1, CELLS - 1, CELLS, 2**31])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_ranks__find_ticks_in_wide_cells_too(span: int, n: int) -> None:
    """Also half of them in one corner, where a cell holds many; ticks below zero."""
    rng = np.random.default_rng(n)
    times = np.unique(np.append(rng.integers(0, span + 1, n), rng.integers(0, 50, n))) - span // 2
    near = (times[:, None] + [-1, 0, 1]).ravel()
    ticks = np.concatenate([near, [-(2**31), 2**31 - 1], rng.integers(-span, span, 50)])
    users, none = len(ticks), np.empty(0, np.int32)
    zero, got = np.zeros(users, np.int64), np.empty(users, np.int32)
    shift, begin = _index(times)
    offsets = np.zeros(users + 1, np.int64)
    rank_ticks(offsets, none, zero, ticks, zero, times, begin, shift, none, got)
    assert len(begin) <= CELLS + 1
    assert got.tolist() == [naive.rank(times, tick) for tick in ticks]


@given(SEEDS, CLOCKS)
def test_sums__are_those_of_the_slow_twin(seed: int, clock: str) -> None:
    joins, spans, hazard, joined, left = ready_case(seed, clock)
    counts, sums = _sums(joins, spans, hazard, joined, left)
    expected = naive.membership_sums(
        joins, spans[:5], joined, left, hazard.cumulative, hazard.linear
    )
    np.testing.assert_array_equal(counts, expected[0])
    # Both add the same numbers in the order of the log.
    np.testing.assert_array_equal(sums, expected[1])


@given(SEEDS, CLOCKS)
def test_deal_out__sorts_joins_and_users_by_rank(seed: int, clock: str) -> None:
    joins, spans, hazard, joined, left = ready_case(seed, clock)
    n_ranks = len(hazard.times) + 1
    ends = [np.zeros(n_ranks + 1, np.int64) for _ in range(2)]
    rows = [np.empty(spans.n_rows.sum(), np.int32), np.empty(joins.n_users, np.int32)]
    deal_out(joins.offsets, joins.group, spans.n_rows, joined, left, *ends, *rows)
    expected = naive.comers_and_leavers(joins, spans.n_rows, joined, left, n_ranks)
    for end, row, lists in zip(ends, rows, expected, strict=True):
        got = np.split(row, end[: n_ranks - 1])
        assert [part.tolist() for part in got] == lists


@given(SEEDS, CLOCKS)
def test_squares__are_those_of_the_slow_twin(seed: int, clock: str) -> None:
    joins, spans, hazard, joined, left = ready_case(seed, clock)
    got = _squares(joins, spans, hazard, joined, left)
    expected = naive.squared_members(joins, spans.n_rows, joined, left, hazard.quadratic)
    # Rises are added up over other stretches of time: some roundings apart.
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_survival__ranks_a_log_in_which_nobody_reaches_a_target() -> None:
    joins = JoinLog.from_arrays(["ann", "bea"], ["a", "t"], [1, 2], observed_until=9)
    d = gateway.detect(joins, named_targets(joins, "t"), detector="survival", min_joiners=1)
    assert (d.n_joiners.tolist(), d.n_events.tolist()) == ([1, 0], [0, 0])
