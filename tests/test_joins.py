"""The join log: how it is made, what it refuses, how it goes out and comes back."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.errors import LogError
from gateway.log import invariants, numbering
from gateway.log.join_log import SOURCES, JoinLog, numbered_names


@pytest.fixture
def full() -> JoinLog:
    """A log with every optional column, users and groups without a join, and an origin."""
    return JoinLog.from_arrays(
        [0, 0, 2, 2, 2],
        [1, 0, 0, 3, 1],
        [4, 2, 7, 2, 2],
        users=["zoe", "bob", "ann", "idle"],
        groups=["g", "h", "nobody's", "k"],
        tick="day",
        origin=18_262,
        observed_from=[1, 0, 2, 5],
        observed_until=9,
        source=[1, 0, 10, 4, 2],
        confirmed=[True, False, True, True, False],
        inviter=[-1, 1, 3, -1, 0],
        seed_group=[-1, 2, -1, 0, 3],
    )


def _log(**changes: Any) -> JoinLog:
    fields: dict[str, Any] = {
        "offsets": np.array([0, 2, 2, 3], np.int64),
        "group": np.array([0, 1, 0], np.int32),
        "time": np.array([1, 1, 3], np.int32),
        "users": pa.array(["a", "b", "c"]),
        "groups": pa.array(["x", "y"]),
        "tick": "integer",
        "origin": 0,
        "observed_from": np.zeros(3, np.int32),
        "observed_until": np.full(3, 5, np.int32),
    }
    return JoinLog(**fields | changes)


# Made from arrays ------------------------------------------------------------------------


def test_from_arrays__numbers_by_name_and_sorts_by_user_time_group() -> None:
    joins = JoinLog.from_arrays(
        ["bob", "ann", "bob", "bob", "ann"], ["z", "y", "x", "y", "z"], [3, 9, 3, 1, 2]
    )
    assert joins.users.to_pylist() == ["ann", "bob"]
    assert joins.groups.to_pylist() == ["x", "y", "z"]
    assert joins.offsets.tolist() == [0, 2, 5]
    assert joins.group.tolist() == [2, 1, 1, 0, 2]
    assert joins.time.tolist() == [2, 9, 1, 3, 3]
    assert joins.user().tolist() == [0, 0, 1, 1, 1]
    assert joins.sizes().tolist() == [1, 2, 2]


def test_from_arrays__a_log_without_windows_knows_its_end_and_not_when_users_came() -> None:
    joins = JoinLog.from_arrays([0, 0, 1], [0, 1, 0], [3, 8, 5])
    assert joins.observed_from is None
    assert joins.observed_until.tolist() == [8, 8]


def test_from_arrays__keeps_those_who_never_join_when_they_are_named(full: JoinLog) -> None:
    assert full.users.to_pylist() == ["ann", "bob", "idle", "zoe"]
    assert full.offsets.tolist() == [0, 3, 3, 3, 5]
    assert full.sizes().tolist() == [2, 2, 1, 0]


def test_from_arrays__other_columns_follow_their_rows_and_ids_their_names(full: JoinLog) -> None:
    # In canonical order: ann h 2, ann k 2, ann g 7, zoe g 2, zoe h 4.
    assert full.time.tolist() == [2, 2, 7, 2, 4]
    assert [full.groups[int(g)].as_py() for g in full.group] == ["h", "k", "g", "g", "h"]
    assert full.source is not None
    assert full.source.tolist() == [2, 4, 10, 0, 1]
    assert full.confirmed is not None
    assert full.confirmed.tolist() == [False, True, True, False, True]
    assert full.inviter is not None
    assert full.inviter.tolist() == [3, -1, 2, 1, -1]
    assert full.seed_group is not None
    assert full.seed_group.tolist() == [2, 0, -1, 3, -1]
    assert full.observed_from.tolist() == [2, 0, 5, 1]
    assert full.observed_until.tolist() == [9] * 4


def test_from_arrays__a_repeated_membership_keeps_its_earliest_join() -> None:
    joins = JoinLog.from_arrays([0, 0, 0], [5, 5, 5], [9, 4, 4], source=[1, 3, 2])
    assert joins.time.tolist() == [4]
    assert joins.source is not None
    assert joins.source.tolist() == [2]  # of two earliest rows, the least by content
    # The row at 9 is no join, but shows that the log was still kept.
    assert joins.observed_until.tolist() == [9]


def test_from_arrays__names_ids_so_that_their_order_is_that_of_the_ids() -> None:
    joins = JoinLog.from_arrays([12, 3, 100_000_000], [7, 70, 7], [0, 0, 0])
    assert joins.users.to_pylist() == ["u000000003", "u000000012", "u100000000"]
    assert joins.groups.to_pylist() == ["g0000007", "g0000070"]
    assert numbered_names("u", np.array([12])).to_pylist() == ["u0000012"]


def test_from_arrays__an_inviter_who_never_joins_is_a_user() -> None:
    joins = JoinLog.from_arrays([4], [0], [0], inviter=[2], seed_group=[9])
    assert joins.users.to_pylist() == ["u0000002", "u0000004"]
    assert joins.inviter is not None
    assert joins.inviter.tolist() == [0]
    assert joins.groups.to_pylist() == ["g0000000", "g0000009"]


def test_from_arrays__sorts_what_does_not_fit_into_one_number() -> None:
    # 2**16 users, 2**16 groups and a span of 2**32 need more than 63 bits.
    many = [f"{i:05d}" for i in range(2**16)]
    last = 2**16 - 1
    columns = ([last, 5, last, 5], [last, 7, 0, 7], [2**31 - 1, 3, -(2**31), -(2**31)])
    joins = JoinLog.from_arrays(*columns, users=many, groups=many)
    assert joins.user().tolist() == [5, last, last]
    assert joins.group.tolist() == [7, 0, last]
    assert joins.time.tolist() == [-(2**31), -(2**31), 2**31 - 1]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (([], [], []), {}, "a log must hold at least one join; got none"),
        (([0], [0, 1], [0]), {}, "columns must be of one length; got {'user': 1, 'group': 2"),
        (([0], [0], [0]), {"source": [1, 2]}, "columns must be of one length"),
        (([0.5], [0], [0]), {}, "user must be integers in one dimension; got float64"),
        (([0], [[0]], [0]), {}, "group must be integers in one dimension"),
        (([0], [0], ["1"]), {}, "time must be integers in one dimension"),
        (([-1], [0], [0]), {}, "user ids must not be negative; got -1"),
        (([1], [0], [0]), {"users": ["a"]}, "user ids must be in [0, 1), the names given; got 1"),
        (([0], [0], [0]), {"groups": ["a", "b", "a"]}, "group names must be unique; 'a' is there"),
        (([0], [0], [0]), {"users": ["a", ""]}, "user names must not be null or empty"),
        ((["a", None], ["b", "c"], [0, 0]), {}, "user names must not be null or empty"),
        (([object()], ["b"], [0]), {}, "user names must be text; got"),
        ((["a"], ["b"], [0]), {"inviter": [0]}, "user must be given by ids where ids are given"),
        (
            ([0], [0], [2**31]),
            {"observed_until": 0},
            "time must fit into 32 bits, as ticks since origin; got 21474836",
        ),
        (([0], [0], [0]), {"source": [11]}, "source must index the 11 known sources; got 11"),
        (([0], [0], [0]), {"confirmed": ["no"]}, "confirmed must be a bool array"),
        (([0], [0], [0]), {"inviter": [1], "users": ["a"]}, "user ids must be in [0, 1)"),
        (([0], [0], [0]), {"tick": "year"}, "tick must be one of day, second, integer; got 'year'"),
        (([0], [0], [3]), {"observed_until": 2}, "joins must lie in [observed"),
        (
            ([0], [0], [3]),
            {"observed_from": 3, "observed_until": 2},
            "observed_from must not be after observed_until",
        ),
        (([0], [0], [3]), {"observed_from": 0, "observed_until": 2}, "joins must lie in [observed"),
        (([0], [0], [3]), {"observed_from": [0, 1]}, "observed_from must be one value or one for"),
    ],
)
def test_from_arrays__says_what_is_wrong(
    columns: tuple[Any, Any, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LogError, match=re.escape(said)):
        JoinLog.from_arrays(*columns, **options)


# What always holds -----------------------------------------------------------------------


def test_join_log__arrays_cannot_be_written_and_the_callers_still_can() -> None:
    group = np.array([0, 1, 0], np.int32)
    joins = _log(group=group)
    with pytest.raises(ValueError, match="read-only"):
        joins.group[0] = 1
    group[0] = 0
    assert group.flags.writeable


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offsets": np.array([0, 2, 2, 4])}, "offsets must run from 0 to the number of joins, 3"),
        ({"offsets": np.array([0, 4, 2, 3])}, "offsets must not decrease"),
        ({"offsets": np.array([0, 3])}, "offsets must have 4 values; got 2"),
        ({"time": np.array([1, 1, 3])}, "time must be a int32 array in one dimension"),
        ({"time": np.array([1], np.int32)}, "time must have 3 values; got 1"),
        ({"time": np.array([2, 1, 3], np.int32)}, "must stand by time, then group; join 1 does"),
        ({"group": np.array([1, 0, 0], np.int32)}, "must stand by time, then group; join 1 does"),
        ({"group": np.array([0, 0, 0], np.int32)}, "must stand by time, then group; join 1 does"),
        ({"group": np.array([0, 2, 0], np.int32)}, "group must be in [0, 2); got 0 to 2"),
        ({"group": np.array([-1, 1, 0], np.int32)}, "group must be in [0, 2); got -1 to 1"),
        ({"users": pa.array(["a", "c", "b"])}, "users must be unique, sorted and not null"),
        ({"groups": pa.array(["x", "x"])}, "groups must be unique, sorted and not null"),
        ({"groups": pa.array(["x", None])}, "groups must be unique, sorted and not null"),
        ({"tick": "hour"}, "tick must be one of day, second, integer"),
        ({"observed_from": np.array([0, 6, 0], np.int32)}, "it is for user 1"),
        ({"observed_from": np.array([0, 0, 4], np.int32)}, "those of user 2 do not"),
        ({"observed_until": np.array([0, 5, 5], np.int32)}, "those of user 0 do not"),
        ({"source": np.array([0, 11, 0], np.uint8)}, "source must be in [0, 11); got 0 to 11"),
        ({"inviter": np.array([0, 3, -1], np.int32)}, "inviter must be in [-1, 3); got -1 to 3"),
        ({"seed_group": np.array([0, -2, -1], np.int32)}, "seed_group must be in [-1, 2)"),
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 1 << 20])
def test_join_log__refuses_columns_that_break_its_rules(
    changes: dict[str, Any], said: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is checked in several parts is checked in each.
    monkeypatch.setattr(invariants, "JOINS_PER_PART", batch)
    assert _log().n_joins == 3
    with pytest.raises(ValueError, match=re.escape(said)):
        _log(**changes)


def test_numbered_names__do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [f"u{i:07d}" for i in range(7)]
    for batch in (1, 3, 7, 100):
        monkeypatch.setattr(numbering, "_BATCH", batch)
        assert numbered_names("u", np.arange(7)).to_pylist() == expected
    assert numbered_names("u", np.arange(0)).to_pylist() == []


def test_join_log__may_hold_users_and_no_join() -> None:
    empty = _log(
        offsets=np.zeros(4, np.int64), group=np.zeros(0, np.int32), time=np.zeros(0, np.int32)
    )
    assert (empty.n_users, empty.n_groups, empty.n_joins) == (3, 2, 0)
    assert empty.to_arrow().num_rows == 0


def test_equals__sees_a_difference_in_any_field(full: JoinLog) -> None:
    assert full.equals(replace(full))
    bare = replace(full, source=None, confirmed=None, inviter=None, seed_group=None)
    assert not full.equals(bare)
    assert not bare.equals(full)
    changes: dict[str, Any] = {
        "time": full.time + np.int32(1),
        "users": pa.array(["ann", "bob", "idle", "zoë"]),
        "tick": "second",
        "origin": 3,
        "observed_from": full.observed_from - np.int32(1),
    }
    for name, value in changes.items():
        assert not full.equals(replace(full, **{name: value})), name


# Out and back ----------------------------------------------------------------------------


def test_to_arrow__shows_names_and_times_in_full(full: JoinLog) -> None:
    got = full.to_arrow().to_pylist()[0]
    expected = {
        "user": "ann",
        "group": "h",
        "time": dt.date(2020, 1, 3),
        "source": "mobile_group_join",
        "confirmed": False,
        "inviter": "zoe",
        "seed_group": "k",
        "observed_from": dt.date(2020, 1, 3),
        "observed_until": dt.date(2020, 1, 10),
    }
    assert got == expected


@pytest.mark.parametrize(
    ("tick", "kind"),
    [("day", pa.date32()), ("second", pa.timestamp("s", "UTC")), ("integer", pa.int64())],
)
def test_to_arrow__has_only_three_columns_where_nothing_else_is_known(
    tick: Any, kind: pa.DataType
) -> None:
    table = JoinLog.from_arrays([0, 1], [0, 0], [0, 5], tick=tick).to_arrow()
    expected = pa.schema({"user": pa.string(), "group": pa.string(), "time": kind})
    assert table.schema.equals(expected)


def test_when__gives_the_time_of_a_tick(full: JoinLog) -> None:
    assert full.when([0, 31]).to_pylist() == [dt.date(2020, 1, 1), dt.date(2020, 2, 1)]
    assert replace(full, tick="integer").when(full.time[:1]).to_pylist() == [18_264]
    seconds = replace(full, tick="second", origin=-1)
    assert seconds.when([0]).to_pylist() == [dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)]


@pytest.mark.parametrize("tick", ["day", "second", "integer"])
def test_to_parquet__from_parquet_gives_back_the_whole_log(
    tick: Any, full: JoinLog, tmp_path: Path
) -> None:
    joins = replace(full, tick=tick)
    joins.to_parquet(tmp_path / "a.parquet")
    joins.to_parquet(tmp_path / "log" / "b.parquet")
    assert JoinLog.from_parquet(tmp_path / "a.parquet").equals(joins)
    assert JoinLog.read(tmp_path / "log").equals(joins)
    assert JoinLog.from_dataframe(joins.to_arrow()).equals(joins)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "log/b.parquet").read_bytes()


def test_from_parquet__several_parts_are_read_as_a_strangers_log(
    full: JoinLog, tmp_path: Path
) -> None:
    full.to_parquet(tmp_path / "1.parquet")
    rows = full.to_arrow().slice(0, 1)
    rows = rows.set_column(0, "user", pa.array(["eve"])).replace_schema_metadata(None)
    pq.write_table(rows, tmp_path / "2.parquet")
    joins = JoinLog.from_parquet(tmp_path)
    # Of those without a join the rows name some: bob and idle invited, "nobody's" seeded.
    assert joins.users.to_pylist() == ["ann", "bob", "eve", "idle", "zoe"]
    assert np.diff(joins.offsets).tolist() == [3, 0, 1, 0, 2]
    assert joins.groups.to_pylist() == ["g", "h", "k", "nobody's"]
    assert joins.observed_from is not None
    # bob was there when he invited, on 2020-01-03, and idle on 2020-01-08; ticks count from
    # the first of these days.
    assert joins.observed_from.tolist() == [0, 0, 0, 5, -1]
    assert joins.observed_until.tolist() == [7, 0, 7, 5, 7]


def test_from_parquet__parts_of_a_folder_have_the_same_columns(
    full: JoinLog, tmp_path: Path
) -> None:
    full.to_parquet(tmp_path / "1.parquet")
    JoinLog.from_arrays(["eve"], ["g"], [0], tick="day").to_parquet(tmp_path / "2.parquet")
    said = r"2\.parquet: the columns of the log must be those of .*1\.parquet, 'confirmed', 'group'"
    with pytest.raises(LogError, match=said):
        JoinLog.from_parquet(tmp_path)


def test_to_parquet__other_readers_see_the_joins(full: JoinLog, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    full.to_parquet(path)
    for frame in (pd.read_parquet(path), pl.read_parquet(path).to_pandas()):
        assert frame["user"].tolist() == ["ann"] * 3 + ["zoe"] * 2
        assert frame["source"].astype(str).tolist()[2] == SOURCES[10]


def test_from_parquet__takes_columns_with_our_names_from_a_strangers_file(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    columns = {"user": ["a"], "group": ["g"], "time": [5], "source": ["carrier pigeon"]}
    pq.write_table(pa.table(columns | {"more": [1]}), path)
    sources = (*SOURCES, "carrier pigeon")
    expected = JoinLog.from_arrays(["a"], ["g"], [0], origin=5, source=[11], sources=sources)
    assert JoinLog.from_parquet(path).equals(expected)
    plain = JoinLog.from_arrays(["a"], ["g"], [0], origin=5)
    assert JoinLog.from_parquet(path, source="").equals(plain)


def test_from_parquet__with_other_column_names_reads_a_stored_log_as_a_strangers(
    full: JoinLog, tmp_path: Path
) -> None:
    full.to_parquet(tmp_path / "log.parquet")
    joins = JoinLog.from_parquet(
        tmp_path / "log.parquet", group="source", user="group", inviter="", observed_from="",
        observed_until="",
    )  # fmt: skip
    assert joins.source is None
    assert joins.users.to_pylist() == ["g", "h", "k"]
    assert joins.observed_until.max() == joins.time.max()


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"tick": "fortnight"},
        {"idle_users": 7},
        {"idle_users": ["ann"]},
        {"origin": None},
        {"origin": 10**12},
        {"idle_observed_from": []},
    ],
    ids=str,
)
def test_from_parquet__a_stored_log_that_was_tampered_with_is_a_log_error(
    damage: dict[str, Any], full: JoinLog, tmp_path: Path
) -> None:
    table = full.to_arrow()
    ((mark, facts),) = table.schema.metadata.items()
    changed = json.dumps(json.loads(facts) | damage).encode()
    pq.write_table(table.replace_schema_metadata({mark: changed}), tmp_path / "log.parquet")
    with pytest.raises(LogError, match=r"log\.parquet: the join log (cannot be|must be of format)"):
        JoinLog.from_parquet(tmp_path / "log.parquet")


def test_from_dataframe__takes_pandas_polars_arrow_and_mappings() -> None:
    columns = {"who": ["b", "a", "b"], "what": ["x", "x", "y"], "when": [3, 2, 1]}
    names = {"user": "who", "group": "what", "time": "when"}
    expected = JoinLog.from_arrays(["b", "a", "b"], ["x", "x", "y"], [2, 1, 0], origin=1)
    odd = pd.DataFrame(columns | {"odd": [object(), 1, "x"]})
    frames = (columns, odd, pl.DataFrame(columns), pa.table(columns), pa.record_batch(columns))
    for frame in frames:
        assert JoinLog.from_dataframe(frame, **names).equals(expected)
    categories = pd.DataFrame(columns).astype({"who": "category", "what": "string"})
    assert JoinLog.from_dataframe(categories, **names).equals(expected)


def test_from_dataframe__takes_arrays_of_times() -> None:
    days = np.array(["1816-01-01", "2020-01-01"], "datetime64[D]")
    joins = JoinLog.from_dataframe({"user": ["a", "a"], "group": ["x", "y"], "time": days})
    assert (joins.tick, joins.origin) == ("day", -56_248)
    frame = pd.DataFrame(
        {"user": ["a"], "group": ["x"], "time": pd.to_datetime(["2020-01-01 12:00"])}
    )
    noon = JoinLog.from_dataframe(frame)
    assert (noon.tick, noon.origin) == ("second", 1_577_880_000)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (3, "the data frame: it must be a pandas, polars or pyarrow table or a mapping"),
        (pl.LazyFrame({"user": ["a"]}), "or a mapping of columns; got LazyFrame"),
        ({"user": ["a"], "group": ["b"]}, "the data frame: column 'time' is missing"),
        ({"user": ["a"], "group": ["b", "c"], "time": [1]}, "must be readable as a table"),
        (
            pd.DataFrame({"user": ["a", 1], "group": ["b", "c"], "time": [1, 2]}),
            "must be readable as a table",
        ),
        (
            pd.DataFrame([["a", "b", "c", 1]], columns=["user", "user", "group", "time"]),
            "column 'user' must be there once; got twice",
        ),
        (
            pa.table([["a"], ["b"], ["c"], [1]], names=["user", "user", "group", "time"]),
            "column 'user' must be there once; got twice",
        ),
        ({"user": [1.0], "group": ["b"], "time": [1]}, "'user' must hold text or integers"),
    ],
)
def test_from_dataframe__says_what_is_wrong(frame: Any, said: str) -> None:
    with pytest.raises(LogError, match=re.escape(said)):
        JoinLog.from_dataframe(frame)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["0", "4294967296"], "must span at most 2,147,483,647 in all"),
        (
            ["1900-01-01T00:00", "9999-12-31T00:01"],
            "seconds, so that it fits into 32 bits; got 1900",
        ),
    ],
)
def test_read__refuses_a_span_that_does_not_fit(
    times: list[str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,group,time\n" + "".join(f"a,{time},{time}\n" for time in times))
    with pytest.raises(LogError, match=re.escape(said)):
        JoinLog.read(path)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_to_frame__says_which_library_is_missing(
    library: str, full: JoinLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {library}"):
        getattr(full, f"to_{library}")()


def test_to_pandas_and_to_polars__hold_the_table(full: JoinLog) -> None:
    expected = full.to_arrow().to_pylist()
    assert full.to_polars().to_dicts() == expected
    got = full.to_pandas().astype(object)
    assert got.where(got.notna(), None).to_dict("records") == expected
