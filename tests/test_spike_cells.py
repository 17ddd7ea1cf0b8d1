from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway._numba import set_threads, threads
from gateway.detect import SpikeOptions, find_spikes, spike
from gateway.log.join_log import JoinLog
from gateway.score import Prefixes, Scores, score_joins
from gateway.targets import named_targets


def draw_scores(n=6_000, *, values=0):
    """Scores of rows of users, drawn at random; of so many values, or of all unlike ones."""
    rng = np.random.default_rng(7)
    offsets = np.unique(np.concatenate([[0, n], rng.integers(0, n, n // 8)]))
    users = len(offsets) - 1
    starts = rng.random(n) < 0.8
    starts[offsets[:-1]] = True
    group, label = rng.integers(0, 40, n).astype(np.int32), rng.integers(-1, 2, n).astype(np.int8)
    rows = Prefixes(
        offsets, group, np.cumsum(starts).astype(np.int32), starts, np.append(starts[1:], True),
        label, rng.random(users), 40,
    )  # fmt: skip
    before, after = rng.beta(1.0, 20.0, (2, n))
    if values:
        before, after = (np.round(p * values) / values for p in (before, after))
    return Scores(rows, before, after, before, after, np.zeros(users, np.int8), (), "drawn")


@pytest.mark.parametrize("values", [0, 200, 7])
@pytest.mark.parametrize("quantile", [0.001, 0.4, 0.95, 0.9999])
def test_spikes__are_those_of_z(values, quantile):
    scores = draw_scores(values=values)
    z = spike.standardised_jumps(scores)
    # At the quantile itself too, whatever rounding says.
    expected = (z >= np.quantile(z, quantile) - 1e-9) & (z > 1e-9) & (scores.after > scores.before)
    got = find_spikes(scores, options=SpikeOptions(quantile=quantile))
    np.testing.assert_array_equal(got, expected)
    assert got.any()


def test_standardised_jumps__of_a_group_have_one_mean_in_every_fold():
    scores = draw_scores()
    alone, group = spike.standardised_jumps(scores), scores.prefixes.group
    fold = np.random.default_rng(1).integers(0, 3, len(scores.fold)).astype(np.int8)
    z = spike.standardised_jumps(replace(scores, fold=fold))
    row_fold = fold[scores.prefixes.user()]
    for g in range(3):
        mean = alone[group == g].mean()
        for k in range(3):
            at = (group == g) & (row_fold == k)
            expected = alone[at] - alone[at].mean() + mean
            np.testing.assert_allclose(z[at], expected, atol=1e-12)


LADDER = Path(__file__).parents[1].parent / "shared" / "cases" / "ladder.csv"


@pytest.mark.compiled
@pytest.mark.skipif(not LADDER.exists(), reason=f"needs {LADDER}")
def test_spikes__users_with_the_same_history_spike_all_or_none():
    """150 join A, then B; of them 100 join T. They differ by their fold alone."""
    joins = JoinLog.read(LADDER)
    targets = named_targets(joins, "T")
    for seed in range(1, 6):
        scores = score_joins(joins, targets, seed=seed)
        rows = scores.prefixes
        mine = rows.group == joins.groups.to_pylist().index("B")
        assert mine.sum() == 150
        assert find_spikes(scores, options=SpikeOptions())[mine].sum() in (0, 150)


def test_spikes__of_no_rows():
    nobody = draw_scores().of_users(np.zeros(draw_scores().prefixes.n_users, bool))
    assert len(find_spikes(nobody, options=SpikeOptions())) == 0


@pytest.mark.compiled
@pytest.mark.parametrize("n", [6_000, 700_000])
def test_sums_by_group__equal_the_twin_for_any_threads(n):
    scores = draw_scores(n)
    rows, mask = scores.prefixes, find_spikes(scores, options=SpikeOptions())
    before, found = threads(), []
    for count in (1, 2):
        set_threads(count)
        found.append(spike._sums_by_group(scores, mask))
    set_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    jump, known = scores.after - scores.before, rows.label >= 0
    expected = np.where(known, scores.expected, 0.0)
    columns = [None, mask, known, rows.label == 1, jump, expected, expected * (1.0 - expected)]
    sums = np.column_stack([np.bincount(rows.group, column, 40) for column in columns])
    np.testing.assert_array_equal(found[0][:, :4], sums[:, :4])
    # The same sums in another order.
    np.testing.assert_allclose(found[0][:, 4:7], sums[:, 4:], rtol=1e-9, atol=1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize("n", [6_000, 700_000])
def test_standardised_jump__has_mean_zero_and_spread_one_in_every_cell(n):
    scores = draw_scores(n)
    cuts = np.unique(np.quantile(scores.before, np.arange(1, 10) / 10))
    cell = scores.prefixes.position() * 10 + np.searchsorted(cuts, scores.before, side="left")
    jump, z = scores.after - scores.before, spike.standardised_jumps(scores)
    for c in np.unique(cell):
        at = cell == c
        expected = (jump[at] - jump[at].mean()) / jump[at].std(ddof=1) if at.sum() > 1 else 0.0
        np.testing.assert_allclose(z[at], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("rows", "table", "expected"),
    [(10, 0, 1), (524_287, 0, 1), (524_288, 0, 2), (20_000_000, 5_000, 16),
     (20_000_000, 1_000_000, 2), (10**7, 10**7, 1)],
)  # fmt: skip
def test_chunk_count__is_a_power_of_two(rows, table, expected):
    assert spike.chunk_count(rows, table=table) == expected
