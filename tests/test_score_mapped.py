"""Scores in columns mapped from files, and what is found in them, are those in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.detect import Detection, detect
from gateway.errors import GatewayError, LogError
from gateway.joins import JoinLog
from gateway.joins_io.partitioned import partition_log
from gateway.partitioned import PartitionedLog, mapped_log
from gateway.score import BoostedScorer, MarkovScorer, Scores, score_joins
from gateway.targets import TargetSet, named_targets
from tests.worlds import linked_log

# L-BFGS some thousand times over: a minute as plain Python.
pytestmark = pytest.mark.compiled

MEMORY = 2**28
COLUMNS = ("before", "after", "at_end", "expected")


def _converted(joins: JoinLog, folder: Path, *, per_part: int) -> PartitionedLog:
    table = joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    JoinLog.from_dataframe(table).to_parquet(folder / "log.parquet")
    (folder / "parts").mkdir()
    partition_log(folder / "log.parquet", folder / "parts", memory=MEMORY, joins_per_part=per_part)
    return PartitionedLog.at(folder / "parts", memory=MEMORY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("log")
    _converted(linked_log(5, users=900, groups=30, days=200), place, per_part=300)
    return place / "parts"


def _targets(joins: JoinLog | PartitionedLog) -> TargetSet:
    return named_targets(joins, ["g0000000", "g0000001", "g0000002"])


def _both(folder: Path, scratch: Path, **options) -> tuple[JoinLog, Scores, JoinLog, Scores]:
    whole = JoinLog.read(folder)
    mapped = mapped_log(PartitionedLog.at(folder, memory=MEMORY), scratch)
    expected = score_joins(whole, _targets(whole), **options)
    got = score_joins(mapped, _targets(mapped), scratch=scratch, **options)
    return whole, expected, mapped, got


def test_mapped_log__is_the_log_in_memory(folder, tmp_path) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY)
    assert mapped_log(log, tmp_path).equals(JoinLog.read(folder))


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
    for name in ("group", "time", "starts_block", "ends_block", "label", "join", "offsets"):
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
    expected = detect(whole, _targets(whole), scores=scores, min_joiners=1, **options)
    got = detect(log, _targets(log), scores=mapped, min_joiners=1, **options)
    _assert_same(got, expected)
    assert expected.to_arrow()["score"].to_numpy().any()


@pytest.mark.parametrize("detector", ["matching", "coefficient"])
def test_rivals__are_the_same_mapped(folder, tmp_path, detector) -> None:
    whole, scores, log, mapped = _both(folder, tmp_path)
    expected = detect(whole, _targets(whole), detector=detector, scores=scores, min_joiners=1)
    _assert_same(
        detect(log, _targets(log), detector=detector, scores=mapped, min_joiners=1), expected
    )


@pytest.mark.parametrize("per_part", [40, 10**5])
def test_spikes__do_not_depend_on_the_parts(tmp_path, folder, per_part) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY)
    other = _converted(JoinLog.read(folder), tmp_path, per_part=per_part)
    expected, got = (detect(each, _targets(each), min_joiners=1) for each in (log, other))
    _assert_same(got, expected)
    whole = JoinLog.read(folder)
    _assert_same(got, detect(whole, _targets(whole), min_joiners=1))


def test_detect__leaves_nothing_behind(tmp_path, folder) -> None:
    log = PartitionedLog.at(folder, memory=MEMORY, scratch=tmp_path)
    detect(log, _targets(log))
    assert not list(tmp_path.iterdir())
    with pytest.raises(LogError, match="the log cannot teach a classifier") as in_parts:
        detect(log, _targets(log), horizon=10**6)
    whole = JoinLog.read(folder)
    with pytest.raises(LogError, match="the log cannot teach a classifier") as in_memory:
        detect(whole, _targets(whole), horizon=10**6)
    assert str(in_parts.value) == str(in_memory.value)
    assert not list(tmp_path.iterdir())


def test_detect__asks_for_memory_enough_to_train(folder) -> None:
    log = PartitionedLog.at(folder, memory=2**25 + 330 * 400)
    with pytest.raises(GatewayError, match=r"must be at least .* for training on"):
        detect(log, _targets(log))


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
