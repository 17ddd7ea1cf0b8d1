"""Laws of reading: what must change nothing changes no bit."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log import sorting
from gateway.log.join_log import JoinLog
from tests import naive

Row = tuple[str, str, int]

# Few names, so that users, groups and ticks meet; odd ones, since they come from strangers.
NAMES = st.sampled_from(
    ["a", "B", "b", "ab", "10", "9", "é", "\U0001f600", "\uffee", 'q"', "x,y\n"]
)
ROWS = st.lists(st.tuples(NAMES, NAMES, st.integers(-3, 3)), min_size=1, max_size=25)
# Rows with source, confirmed, inviter and seed group.
IDS = st.integers(0, 4)
FULL_ROWS = st.lists(
    st.tuples(
        IDS, IDS, st.integers(0, 2), IDS, st.booleans(), st.integers(-1, 4), st.integers(-1, 4)
    ),
    min_size=1,
    max_size=25,
)


def _from_rows(rows: Sequence[Row]) -> JoinLog:
    users, groups, times = zip(*rows, strict=True)
    return JoinLog.from_arrays(users, groups, times, origin=10)


def _from_full(rows: Sequence[tuple[Any, ...]]) -> JoinLog:
    user, group, time, source, confirmed, inviter, seed_group = zip(*rows, strict=True)
    return JoinLog.from_arrays(
        user, group, time,
        source=source, confirmed=confirmed, inviter=inviter, seed_group=seed_group,
    )  # fmt: skip


def _memberships(joins: JoinLog) -> list[tuple[str, int, str]]:
    columns = joins.to_arrow().to_pydict()
    return list(zip(columns["user"], columns["time"], columns["group"], strict=True))


@given(ROWS)
def test_from_arrays__holds_each_membership_once_at_its_earliest_time(rows: list[Row]) -> None:
    earliest: dict[tuple[str, str], int] = {}
    for user, group, time in rows:
        earliest[user, group] = min(time, earliest.get((user, group), time))
    expected = sorted((user, time + 10, group) for (user, group), time in earliest.items())
    assert _memberships(_from_rows(rows)) == expected


@given(ROWS, st.randoms(use_true_random=False))
def test_from_arrays__order_of_rows_changes_nothing(rows: list[Row], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert _from_rows(shuffled).equals(_from_rows(rows))


@given(FULL_ROWS, st.randoms(use_true_random=False))
def test_from_arrays__order_of_rows_changes_no_other_column(
    rows: list[tuple[Any, ...]], random: Any
) -> None:
    shuffled = random.sample(rows, len(rows))
    assert _from_full(shuffled).equals(_from_full(rows))


@given(FULL_ROWS)
def test_from_arrays__keeps_a_row_that_was_there(rows: list[tuple[Any, ...]]) -> None:
    def number(name: str | None) -> int:
        return -1 if name is None else int(name[1:])

    sources = {
        "unknown": 0,
        "gysj": 1,
        "mobile_group_join": 2,
        "mobile_add_members": 3,
        "search": 4,
    }
    for row in _from_full(rows).to_arrow().to_pylist():
        ids = (number(row["user"]), number(row["group"]), row["time"], sources[row["source"]])
        links = (row["confirmed"], number(row["inviter"]), number(row["seed_group"]))
        assert (*ids, *links) in rows
        assert row["time"] == min(
            time for user, group, time, *_ in rows if (user, group) == ids[:2]
        )


@given(ROWS, st.integers(1, 3))
def test_from_arrays__repeats_change_nothing(rows: list[Row], times: int) -> None:
    assert _from_rows(rows * times).equals(_from_rows(rows))


@given(ROWS)
def test_from_arrays__renaming_that_keeps_the_order_changes_only_names(rows: list[Row]) -> None:
    renamed = _from_rows([(f"user {user}", f"group {group}", time) for user, group, time in rows])
    joins = _from_rows(rows)
    for name in ("offsets", "group", "time", "observed_from", "observed_until"):
        assert np.array_equal(getattr(renamed, name), getattr(joins, name)), name
    assert renamed.users.to_pylist() == [f"user {name}" for name in joins.users.to_pylist()]
    assert renamed.groups.to_pylist() == [f"group {name}" for name in joins.groups.to_pylist()]


@given(ROWS)
def test_from_arrays__names_and_the_ids_of_those_names_are_the_same_log(rows: list[Row]) -> None:
    users, groups, times = zip(*rows, strict=True)
    user_names, group_names = list(dict.fromkeys(users)), list(dict.fromkeys(groups))
    by_id = JoinLog.from_arrays(
        [user_names.index(user) for user in users],
        [group_names.index(group) for group in groups],
        times,
        users=user_names,
        groups=group_names,
        origin=10,
    )
    assert by_id.equals(_from_rows(rows))


TIED_ROWS = st.lists(
    st.tuples(
        IDS, IDS, st.sampled_from([-(2**31), -1, 0, 2**31 - 1]), st.integers(0, 1), st.booleans(),
        st.integers(-1, 1), st.integers(-1, 1), st.integers(0, 1),
    ),
    min_size=1,
)  # fmt: skip


@given(TIED_ROWS, st.booleans())
def test_canonical__of_few_and_of_many_rows_is_that_of_the_twin(
    rows: list[tuple[Any, ...]], full: bool
) -> None:
    kinds = (np.int32, np.int32, np.int32, *sorting.TIE_BREAKERS.values())
    columns = [np.array(c, kind) for c, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    others = dict(zip(sorting.TIE_BREAKERS, columns[3:], strict=True)) if full else {}
    expected = naive.canonical_rows([row if full else row[:3] for row in rows])
    for large in (0, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sorting, "_LARGE", large)
            offsets, found = sorting.canonical(*columns[:3], n_users=5, others=others)
        user = np.repeat(np.arange(5), np.diff(offsets))
        names = ("group", "time", *others)
        got = zip(user.tolist(), *(found[name].tolist() for name in names), strict=True)
        assert list(got) == expected


# Every way in ----------------------------------------------------------------------------

DATES = st.dates(dt.date(1800, 1, 1), dt.date(2100, 1, 1))
DATED_ROWS = st.lists(st.tuples(NAMES, NAMES, DATES), min_size=1, max_size=20)


def _as_csv(rows: Sequence[tuple[Any, ...]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("user", "group", "time"), *rows])
    return text.getvalue().encode("utf-8")


@given(DATED_ROWS)
def test_read__is_the_same_from_every_format(rows: list[tuple[str, str, dt.date]]) -> None:
    users, groups, times = (list(column) for column in zip(*rows, strict=True))
    columns = {"user": users, "group": groups, "time": times}
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            Path(folder) / name for name in ("a.csv", "a.csv.gz", "a.parquet", "again.parquet")
        ]
        paths[0].write_bytes(_as_csv(rows))
        paths[1].write_bytes(gzip.compress(_as_csv(rows)))
        pq.write_table(pa.table(columns), paths[2])
        expected = JoinLog.from_csv(paths[0])
        expected.to_parquet(paths[3])
        got = {path.name: JoinLog.read(path) for path in paths}
    got |= {
        "arrow": JoinLog.from_dataframe(pa.table(columns)),
        "pandas": JoinLog.from_dataframe(pd.DataFrame(columns)),
        "polars": JoinLog.from_dataframe(pl.DataFrame(columns)),
        "mapping": JoinLog.from_dataframe(columns),
    }
    different = [name for name, joins in got.items() if not joins.equals(expected)]
    assert different == []
    # A frame holds the joins; that a repeated one was seen on a later day is not in it.
    rows_of = [expected.to_arrow().select(["user", "group", "time"]).to_pylist()]
    for frame in (expected.to_pandas(), expected.to_polars()):
        again = JoinLog.from_dataframe(frame).to_arrow()
        rows_of.append(again.select(["user", "group", "time"]).to_pylist())
    assert rows_of[0] == rows_of[1] == rows_of[2]
    assert expected.when(expected.time[:1]).to_pylist()[0] in times


@given(FULL_ROWS, st.integers(-(10**6), 10**6), st.sampled_from(["day", "second", "integer"]))
def test_to_parquet__gives_back_any_log(
    rows: list[tuple[Any, ...]], origin: int, tick: Any
) -> None:
    user, group, time, source, confirmed, inviter, seed_group = zip(*rows, strict=True)
    joins = JoinLog.from_arrays(
        user, group, time, tick=tick, origin=origin,
        users=[f"n{7 - i}" for i in range(5)], groups=[f"m{i * 3 % 5}" for i in range(5)],
        observed_from=[0, -1, 0, -5, 0], observed_until=[3, 2, 2, 2, 9],
        source=source, confirmed=confirmed, inviter=inviter, seed_group=seed_group,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        joins.to_parquet(path)
        assert JoinLog.from_parquet(path).equals(joins)
