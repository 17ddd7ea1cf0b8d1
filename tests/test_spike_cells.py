from __future__ import annotations

import numpy as np
import pytest

from gateway._numba import set_threads, threads
from gateway.detect import SpikeOptions, find_spikes, spike, spike_cells
from gateway.detect.spike_cells_kernels import least_jumps
from gateway.score import Prefixes, Scores


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
        label, np.arange(n), rng.random(users), 40,
    )  # fmt: skip
    before, after = rng.beta(1.0, 20.0, (2, n))
    if values:
        before, after = (np.round(p * values) / values for p in (before, after))
    return Scores(rows, before, after, before, after, np.zeros(users, np.int8), (), "drawn")


SETTINGS = {
    "as it is": {},
    "a sample that misleads": {"_SAMPLE": 30, "_ERRORS": 0.0},
    "a small sample": {"_SAMPLE": 100},
    "no room": {"_ROOM": 1, "_SAMPLE": 30, "_ERRORS": 0.0},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("values", [0, 200, 7])
@pytest.mark.parametrize("quantile", [0.001, 0.4, 0.95, 0.9999])
def test_spikes__are_those_of_z_bit_for_bit(setting, values, quantile, monkeypatch):
    for name, value in SETTINGS[setting].items():
        monkeypatch.setattr(spike_cells, name, value)
    scores = draw_scores(values=values)
    z = spike_cells.standardised_jumps(scores)
    expected = (z >= np.quantile(z, quantile)) & (z > 0) & (scores.after > scores.before)
    got = find_spikes(scores, options=SpikeOptions(quantile=quantile))
    np.testing.assert_array_equal(got, expected)
    assert got.any()


def test_spikes__near_a_quantile_are_few():
    """Otherwise the fast way would be the slow one."""
    scores = draw_scores(60_000)
    cells = spike_cells._place(scores)
    below, found = spike_cells._sizes_near(cells, scores, 0.95)
    assert below <= 0.95 * 59_999 <= below + len(found) - 2
    # Five standard errors of a share among 1,875 rows on either side are a twentieth.
    assert len(found) < 0.1 * 60_000


def test_spikes__of_no_rows():
    nobody = draw_scores().of_users(np.zeros(draw_scores().prefixes.n_users, bool))
    assert len(find_spikes(nobody, options=SpikeOptions())) == 0


@pytest.mark.parametrize("z", [-3.0, 0.0, 1e-300, 0.7, 5.0, 40.0])
def test_least_jumps__are_the_least(z):
    rng = np.random.default_rng(2)
    mean, sd = rng.normal(0.0, 0.05, 500), rng.gamma(1.0, 0.02, 500)
    sd[:20] = 0.0
    least = np.empty(500)
    least_jumps(mean, sd, z, least)
    # Without spread z is zero, whatever the jump.
    np.testing.assert_array_equal(least[:20], np.nextafter(-2.0, 0.0) if z <= 0.0 else 2.0)
    least, mean, sd = (x[20:] for x in (least, mean, sd))
    assert (((least - mean) / sd >= z) | (least == 2.0)).all()
    assert (least < 2.0).mean() > 0.8
    assert ((np.nextafter(least, -2.0) - mean) / sd < z).all()


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
    jump, z = scores.after - scores.before, spike_cells.standardised_jumps(scores)
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
    assert spike_cells.chunk_count(rows, table=table) == expected
