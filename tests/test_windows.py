"""When users were observed: read, kept, and what is done where it is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.detect import detect
from gateway.detect.self_controlled.slots import build_slots
from gateway.errors import LogError
from gateway.log.columns import Columns
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.targets import check_learnable, named_targets

COLUMNS = {"observed_from": "came", "observed_until": "left"}
ROWS = """user,group,time,came,left
bea,b,2020-01-05,2020-01-04,2020-02-01
ann,a,2020-01-03,2020-01-01,2020-01-20
ann,b,2020-01-07,2020-01-01,2020-01-20
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return path


def test_read__takes_windows_from_columns(tmp_path: Path) -> None:
    joins = JoinLog.read(_written(tmp_path, ROWS), **COLUMNS)
    # Ticks count from the first join, 2020-01-03; ann stands before bea.
    assert joins.observed_from is not None
    assert joins.observed_from.tolist() == [-2, 1]
    assert joins.observed_until.tolist() == [17, 29]


def test_read__without_the_columns_knows_no_first_tick(tmp_path: Path) -> None:
    path = _written(tmp_path, ROWS)
    joins = JoinLog.read(path)
    assert joins.observed_from is None
    assert joins.observed_until.tolist() == [4, 4]
    until = JoinLog.read(path, observed_until="left")
    assert until.observed_from is None
    assert until.observed_until.tolist() == [17, 29]


@pytest.mark.parametrize("columns", [COLUMNS, {}, {"observed_from": "came"},
                                     {"observed_until": "left"}])  # fmt: skip
def test_windows__are_kept_by_frames_parquet_and_convert(
    tmp_path: Path, columns: dict[str, str]
) -> None:
    path = _written(tmp_path, ROWS)
    expected = JoinLog.read(path, **columns)
    raw = pa.table(
        {name: pa.array(column) for name, column in zip(
            ROWS.split("\n", maxsplit=1)[0].split(","),
            zip(*(line.split(",") for line in ROWS.split()[1:]), strict=True), strict=True,
        )}
    )  # fmt: skip
    assert JoinLog.from_dataframe(raw, **columns).equals(expected)
    pq.write_table(raw, tmp_path / "raw.parquet")
    assert JoinLog.from_parquet(tmp_path / "raw.parquet", **columns).equals(expected)
    assert JoinLog.from_dataframe(expected.to_arrow()).equals(expected)
    expected.to_parquet(tmp_path / "stored.parquet")
    assert JoinLog.read(tmp_path / "stored.parquet").equals(expected)
    for name, given in (("log.csv", columns), ("raw.parquet", columns), ("stored.parquet", {})):
        folder = tmp_path / f"parts of {name}"
        folder.mkdir()
        convert_log(tmp_path / name, folder, memory=2**26, columns=Columns(**given))
        assert JoinLog.read(folder).equals(expected)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b,2020-01-07,2020-01-01", "b,2020-01-07,2020-01-02",
         "observed_from of user 'ann' must be the same in every row of the user; "
         "got 2020-01-01 and 2020-01-02"),
        ("bea,b,2020-01-05,2020-01-04", "bea,b,2020-01-05,2020-01-06",
         "the join of 'b' by user 'bea' must not be before column 'came', 2020-01-06; "
         "got 2020-01-05"),
        ("2020-02-01", "2020-01-04",
         "the join of 'b' by user 'bea' must not be after column 'left', 2020-01-04; "
         "got 2020-01-05"),
        ("2020-02-01", "", "column 'left' must not be empty"),
    ],
)  # fmt: skip
def test_read__a_window_that_cannot_be_names_the_user(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = _written(tmp_path, ROWS.replace(old, new))
    with pytest.raises(LogError) as error:
        JoinLog.read(path, **COLUMNS)
    assert said in str(error.value)
    (tmp_path / "parts").mkdir()
    with pytest.raises(LogError) as error:
        convert_log(path, tmp_path / "parts", memory=2**26, columns=Columns(**COLUMNS))
    assert said in str(error.value)


def test_read__windows_are_of_the_kind_of_the_times(tmp_path: Path) -> None:
    text = "user,group,time,came\na,g,2020-01-01,3\n"
    with pytest.raises(LogError, match="column 'came' must be of the same kind as column 'time'"):
        JoinLog.read(_written(tmp_path, text), observed_from="came")


def test_slots__without_windows_time_lies_between_the_own_first_and_last_join() -> None:
    joins = JoinLog.from_arrays(
        ["u"] * 4 + ["v"] * 3, ["a", "g", "t", "b", "a", "t", "b"], [0, 10, 20, 31, 0, 5, 9]
    )
    mask = np.array([name == "t" for name in joins.groups.to_pylist()])
    slots = build_slots(joins, mask, ~mask, clock="calendar")
    # Cut to the ticks from the first target join of anybody to the last: 5 to 20 of u, 5 to 8
    # of v, who has no target after it that could have been before.
    assert slots.length.tolist() == [5, 1, 10, 4]
    assert slots.events.tolist() == [0, 0, 1, 1]
    assert slots.group.tolist() == [4, joins.groups.to_pylist().index("g"), 4, 4]


def _found(joins: JoinLog, **options: object) -> list[dict[str, object]]:
    targets = named_targets(joins, "T")
    found = detect(joins, targets, detector="self_controlled", min_joiners=5, **options)
    rows: list[dict[str, object]] = found.to_arrow().to_pylist()
    return rows


@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_self_controlled__does_not_test_a_group_that_nobody_was_there_before(clock: str) -> None:
    user = np.repeat(np.arange(30), 3)
    time = np.add.outer(10 * np.arange(30), [0, 5, 9]).ravel()
    joins = JoinLog.from_arrays(user, np.tile([0, 1, 2], 30), time, groups=["welcome", "T", "last"])
    for row in _found(joins, clock=clock):
        assert row["p_value"] is None
        assert not row["flagged"]


@pytest.mark.parametrize("clock", ["joins", "calendar"])
def test_self_controlled__before_the_first_target_join_of_all_there_is_no_time(clock: str) -> None:
    user = np.repeat(np.arange(30), 4)
    time = np.stack([np.zeros(30), 1 + np.arange(30), 60 + np.arange(30), np.full(30, 95)], axis=1)
    joins = JoinLog.from_arrays(
        user, np.tile([0, 1, 2, 3], 30), time.astype(int).ravel(),
        groups=["first", "early", "T", "last"],
    )  # fmt: skip
    for row in _found(joins, clock=clock):
        assert row["p_value"] is None
        assert not row["flagged"]


def test_self_controlled__a_row_of_one_user_changes_nobody_elses_history() -> None:
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(60), 6)
    start = np.repeat(rng.integers(1_000, 1_300, 60), 6)
    group, time = rng.integers(0, 6, 360), start + rng.integers(0, 40, 360)
    names = ["T", "a", "b", "c", "d", "e"]
    plain = JoinLog.from_arrays(user, group, time, groups=names)
    stray = JoinLog.from_arrays(
        np.append(user, 60), np.append(group, 1), np.append(time, 0), groups=names
    )
    keys = ("group", "estimate", "ci_low", "ci_high", "p_value")
    # By name: the order by association looks at everybody.
    got, expected = (
        sorted([row[key] for key in keys] for row in _found(log)) for log in (stray, plain)
    )
    assert got == expected
    assert any(row[-1] is not None for row in expected)


def test_check_learnable__a_log_of_cases_alone_is_enough_for_two_detectors() -> None:
    joins = JoinLog.from_arrays([0, 0, 1, 1], ["x", "T", "x", "T"], [0, 5, 1, 7])
    targets = named_targets(joins, "T")
    check_learnable(joins, targets, compares=False)
    for name in ("self_controlled", "order"):
        assert len(detect(joins, targets, detector=name).to_arrow()) == 1
    with pytest.raises(LogError, match=r"every user does \(detector=self_controlled"):
        check_learnable(joins, targets)
