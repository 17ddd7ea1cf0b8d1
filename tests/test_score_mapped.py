"""Scores in columns mapped from files, and what is found in them, are those in memory."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.detect import Detection, detect
from gateway.errors import GatewayError, LogError
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.work import Work, working
from gateway.score import BoostedScorer, MarkovScorer, Scores, score_joins
from gateway.targets import TargetSet, named_targets
from tests.worlds import linked_log

# L-BFGS some thousand times over: a minute as plain Python.
pytestmark = pytest.mark.compiled

MEMORY = 2**28
COLUMNS = ("before", "after", "at_end", "expected")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A log, stored and converted."""
    place = tmp_path_factory.mktemp("log")
    joins = linked_log(5, users=900, groups=30, days=200)
    table = joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    JoinLog.from_dataframe(table).to_parquet(place / "log.parquet")
    (place / "converted").mkdir()
    convert_log(place / "log.parquet", place / "converted", memory=MEMORY)
    return place


def _targets(joins: JoinLog) -> TargetSet:
    return named_targets(joins, ["g0000000", "g0000001", "g0000002"])


def _both(folder: Path, scratch: Path, **options) -> tuple[JoinLog, Scores, JoinLog, Scores]:
    whole, mapped = JoinLog.read(folder / "log.parquet"), JoinLog.open(folder / "converted")
    expected = score_joins(whole, _targets(whole), **options)
    got = score_joins(mapped, _targets(mapped), scratch=scratch, **options)
    return whole, expected, mapped, got


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"horizon": 40, "seed": 3},
        {"calibration": "none", "folds": 3},
        {"calibration": "isotonic"},
        {"scorer": MarkovScorer()},
        {"scorer": BoostedScorer(iterations=5)},
    ],
    ids=str,
)
def test_score_joins__mapped_has_the_bits_of_memory(folder, tmp_path, options) -> None:
    _, expected, _, got = _both(folder, tmp_path, **options)
    for name in COLUMNS:
        assert getattr(got, name).tobytes() == getattr(expected, name).tobytes(), name
    for name in ("group", "time", "starts_block", "ends_block", "label", "offsets"):
        ours, theirs = getattr(got.prefixes, name), getattr(expected.prefixes, name)
        np.testing.assert_array_equal(ours, theirs)
    assert got.quality == expected.quality
    assert isinstance(got.after.base, np.memmap)


def _assert_same(got: Detection, expected: Detection) -> None:
    assert got.to_arrow().equals(expected.to_arrow())


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
def test_spikes__are_the_same_mapped(folder, tmp_path, options) -> None:
    whole, scores, log, mapped = _both(folder, tmp_path)
    options = options | {"min_joiners": 1, "min_spiking": 1}
    expected = detect(whole, _targets(whole), scores=scores, **options)
    got = detect(log, _targets(log), scores=mapped, **options)
    _assert_same(got, expected)
    assert expected.to_arrow()["score"].to_numpy().any()


@pytest.mark.parametrize("detector", ["matching", "coefficient"])
def test_rivals__are_the_same_mapped(folder, tmp_path, detector) -> None:
    whole, scores, log, mapped = _both(folder, tmp_path)
    expected = detect(whole, _targets(whole), detector=detector, scores=scores, min_joiners=1)
    _assert_same(
        detect(log, _targets(log), detector=detector, scores=mapped, min_joiners=1), expected
    )


def test_detect__bounded_leaves_nothing_behind(tmp_path, folder, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    log = JoinLog.open(folder / "converted")
    expected = detect(log, _targets(log))
    with working(Work(memory=MEMORY)):
        _assert_same(detect(log, _targets(log)), expected)
        with pytest.raises(LogError, match="the log cannot teach a classifier"):
            detect(log, _targets(log), horizon=10**6)
    assert not list(tmp_path.iterdir())


def test_detect__asks_for_memory_enough_to_train(folder) -> None:
    log = JoinLog.open(folder / "converted")
    with (
        working(Work(memory=2**25)),
        pytest.raises(GatewayError, match=r"must be at least .* for training on"),
    ):
        detect(log, _targets(log))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves no room")
def test_detect__asks_for_room_on_the_disk_before_it_is_used(folder, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = JoinLog.open(folder / "converted")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        working(Work(memory=MEMORY)),
        pytest.raises(LogError, match=r"must have room for .* GiB more; got No space left"),
    ):
        detect(log, _targets(log))
    assert not list(tmp_path.iterdir())


def test_matching__counts_joiners_and_events_of_many_parts(folder, tmp_path) -> None:
    """Cut into parts or not, the same table."""
    whole, scores, _, _ = _both(folder, tmp_path)
    expected = detect(whole, _targets(whole), detector="matching", scores=scores)

    class InParts(Scores):
        def parts(self):
            for users, rows, prefixes in self.prefixes.parts(500):
                columns = {name: getattr(self, name)[rows] for name in COLUMNS}
                yield rows, replace(self, prefixes=prefixes, fold=self.fold[users], **columns)

    cut = InParts(**vars(scores))
    assert len(list(cut.parts())) > 3
    _assert_same(detect(whole, _targets(whole), detector="matching", scores=cut), expected)
