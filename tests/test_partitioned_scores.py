"""Scores and spikes of a log on disk are those of the log in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.detect import Detection, detect
from gateway.detect.spike_parts_kernels import go_on_by_group, go_on_in_cells
from gateway.errors import GatewayError, LogError
from gateway.joins import JoinLog
from gateway.joins_io.partitioned import partition_log
from gateway.partitioned import PartitionedLog
from gateway.score import (
    Scores,
    StoredScores,
    build_prefixes,
    crossfit,
    score_joins,
    score_parts,
)
from gateway.score import stored as stored_module
from gateway.targets import TargetSet, named_targets
from tests import naive
from tests.worlds import linked_log

# L-BFGS some thousand times over: a minute as plain Python.
pytestmark = pytest.mark.compiled

MEMORY = 2**28
COLUMNS = ("before", "after", "at_end", "expected")
# The expectation alone is made of sums in another order than in memory, and its columns can
# be as good as collinear (the first bins of tenure and of joins so far): it keeps about nine
# places, in memory as here. All before it are the same bits.
CLOSE = 1e-8


def _converted(joins: JoinLog, folder: Path, *, per_part: int) -> PartitionedLog:
    table = joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    plain = JoinLog.from_dataframe(table)
    plain.to_parquet(folder / "log.parquet")
    (folder / "parts").mkdir()
    partition_log(folder / "log.parquet", folder / "parts", memory=MEMORY, joins_per_part=per_part)
    return PartitionedLog.at(folder / "parts", memory=MEMORY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("log")
    _converted(linked_log(5, users=900, groups=30, days=200), place, per_part=300)
    return place / "parts"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch) -> None:
    """Many blocks to a log of a test."""
    monkeypatch.setattr(stored_module, "BLOCK", 700)


def _targets(joins: JoinLog | PartitionedLog) -> TargetSet:
    return named_targets(joins, ["g0000000", "g0000001", "g0000002"])


def _both(folder: Path, **options) -> tuple[JoinLog, Scores, PartitionedLog, StoredScores]:
    whole, log = JoinLog.read(folder), PartitionedLog.at(folder, memory=MEMORY)
    expected = score_joins(whole, _targets(whole), **options)
    return whole, expected, log, score_parts(log, _targets(log), **options)


def test_score_parts__of_many_rows_are_those_of_the_log_in_memory(folder, monkeypatch) -> None:
    monkeypatch.setattr(crossfit, "LARGE", 0)
    _, expected, _, got = _both(folder, horizon=40)
    for name in COLUMNS:
        assert _column(got, name).tobytes() == getattr(expected, name).tobytes(), name


def _column(scores: StoredScores, name: str) -> np.ndarray:
    return np.concatenate([getattr(block, name) for block in scores.blocks()])


@pytest.mark.parametrize(
    "options", [{}, {"horizon": 40, "seed": 3}, {"calibration": "none", "folds": 3}]
)
def test_score_parts__gives_the_scores_of_the_log_in_memory(folder, options) -> None:
    _, expected, _, got = _both(folder, **options)
    assert len(list(got.blocks())) > 3
    for name in COLUMNS:
        ours, theirs = _column(got, name), getattr(expected, name)
        if name == "expected":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)
        else:
            assert ours.tobytes() == theirs.tobytes(), name
    assert np.concatenate([b.fold for b in got.blocks()]).tolist() == expected.fold.tolist()


def test_stored_prefixes__are_those_of_the_whole_log(folder) -> None:
    whole, _, _, got = _both(folder)
    expected = build_prefixes(whole, _targets(whole), seed=1)
    stored = got.prefixes.whole()
    for name in ("offsets", "group", "time", "starts_block", "ends_block", "label", "chance"):
        assert getattr(stored, name).tolist() == getattr(expected, name).tolist()


def _assert_same(got: Detection, expected: Detection) -> None:
    for name in ("n_joiners", "n_events", "rank", "flagged", "candidate"):
        assert getattr(got, name).tolist() == getattr(expected, name).tolist(), name
    for name in ("score", "estimate", "ci_low", "ci_high", "p_value", "q_value"):
        a, b = getattr(got, name), getattr(expected, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=name)
    for name, b in expected.extra.items():
        np.testing.assert_allclose(got.extra[name], b, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "standardised"},
        {"rule": "absolute", "threshold": 0.005},
        {"rule": "log_odds", "threshold": 0.05},
        {"rule": "own_history", "threshold": 1.0},
    ],
    ids=lambda options: options["rule"],
)
def test_spikes__are_the_same_in_parts(folder, options) -> None:
    whole, scores, log, stored = _both(folder)
    expected = detect(whole, _targets(whole), scores=scores, min_joiners=1, **options)
    got = detect(log, _targets(log), scores=stored, min_joiners=1, **options)
    _assert_same(got, expected)
    assert expected.n_events.any()


@pytest.mark.parametrize("per_part", [40, 10**5])
def test_spikes__do_not_depend_on_the_parts(tmp_path, folder, per_part) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY)
    other = _converted(JoinLog.read(folder), tmp_path, per_part=per_part)
    expected, got = (detect(each, _targets(each), min_joiners=1) for each in (log, other))
    assert got.score.tobytes() == expected.score.tobytes()
    assert got.p_value.tobytes() == expected.p_value.tobytes()


def test_quality__is_that_of_the_log_in_memory(folder) -> None:
    _, expected, _, got = _both(folder)
    assert [q.metric for q in got.quality] == [q.metric for q in expected.quality]
    for a, b in zip(got.quality, expected.quality, strict=True):
        # Sums of the same numbers in another order.
        got_, wanted = ((q.value, q.ci_low, q.ci_high) for q in (a, b))
        assert got_ == pytest.approx(wanted, abs=1e-12)


def test_scores__leave_nothing_behind(tmp_path, folder) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY, scratch=tmp_path)
    scores = score_parts(log, _targets(log))
    assert len(list(tmp_path.iterdir())) == 1
    scores.discard()
    assert not list(tmp_path.iterdir())
    detect(log, _targets(log))
    assert not list(tmp_path.iterdir())


def test_score_parts__refuses_what_needs_the_log_in_memory(tmp_path, folder) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY, scratch=tmp_path)
    whole = JoinLog.read(folder)
    with pytest.raises(GatewayError, match="'isotonic' needs the log in memory"):
        score_parts(log, _targets(log), calibration="isotonic")
    with pytest.raises(LogError, match="the log cannot teach a classifier") as in_parts:
        score_parts(log, _targets(log), horizon=10**6)
    with pytest.raises(LogError, match="the log cannot teach a classifier") as in_memory:
        score_joins(whole, _targets(whole), horizon=10**6)
    assert str(in_parts.value) == str(in_memory.value)
    assert not list(tmp_path.iterdir())


def test_score_parts__asks_for_memory_enough_to_train(folder) -> None:
    log = PartitionedLog.at(folder, memory=2**25 + 330 * 400)
    with pytest.raises(LogError, match=r"must be at least .* for training on"):
        score_parts(log, _targets(log))


def test_sums__go_on_from_block_to_block() -> None:
    rng = np.random.default_rng(1)
    n, cells = 500, 7
    cell, x = rng.integers(0, cells, n), rng.normal(size=n)
    count, mean, spread = np.zeros(cells, np.int64), np.zeros(cells), np.zeros(cells)
    for part in np.array_split(np.arange(n), 3):
        go_on_in_cells(cell[part], x[part], count, mean, spread)
    expected = [x[cell == c] for c in range(cells)]
    assert count.tolist() == [len(values) for values in expected]
    # One pass against two: rounding.
    np.testing.assert_allclose(mean, [v.mean() for v in expected], rtol=1e-12)
    np.testing.assert_allclose(spread, [v.var() * len(v) for v in expected], rtol=1e-12)


def test_sums_by_group__are_those_of_the_naive_twin() -> None:
    rng = np.random.default_rng(2)
    n, groups = 500, 9
    columns = (
        rng.integers(0, groups, n).astype(np.int32),
        rng.random(n) < 0.2,
        rng.normal(size=n),
        rng.integers(-1, 2, n).astype(np.int8),
        rng.random(n),
    )
    counts, sums = np.zeros((groups, 4), np.int64), np.zeros((groups, 3))
    for part in np.array_split(np.arange(n), 3):
        go_on_by_group(*(column[part] for column in columns), counts, sums)
    expected = naive.add_by_group(*columns, groups)
    assert counts.tolist() == expected[0].tolist()
    np.testing.assert_allclose(sums, expected[1], rtol=1e-12)
