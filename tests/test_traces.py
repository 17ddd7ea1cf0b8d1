"""What a platform notes of a join: source, confirmation, inviter, seed; and when members left."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed.protocol.pickle import dumps, loads
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.analyses import until
from gateway.cli.app import app
from gateway.cli.own_logs import config_for_log
from gateway.errors import LogError
from gateway.log import conversion, invariants
from gateway.log.columns import Columns
from gateway.log.join_log import SOURCES, STAYS, JoinLog

ROWS = """who,what,day,how,by,from,ok,gone
bob,x,2024-01-05,search,,,true,
ann,x,2024-01-02,gysj,,y,true,2024-01-09
ann,y,2024-01-04,qr code,zoe,,false,
bob,y,2024-01-03,,ann,z,yes,2024-02-01
"""
NAMES = {"user": "who", "group": "what", "time": "day", "source": "how", "inviter": "by",
         "seed_group": "from", "confirmed": "ok", "left": "gone"}  # fmt: skip


def _written(tmp_path: Path, text: str = ROWS) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return path


def _converted(path: Path, out: Path, **columns: Any) -> JoinLog:
    out.mkdir()
    conversion.convert_log(path, out, memory=2**26, columns=Columns(**columns))
    return JoinLog.open(out)


def test_read__takes_traces_under_any_name(tmp_path: Path) -> None:
    joins = JoinLog.read(_written(tmp_path), **NAMES)  # type: ignore[arg-type]
    # By user and time: ann x, ann y, bob y, bob x; ticks count from 2024-01-02.
    assert joins.users.to_pylist() == ["ann", "bob", "zoe"]
    assert joins.groups.to_pylist() == ["x", "y", "z"]
    assert joins.time.tolist() == [0, 2, 1, 3]
    assert joins.sources == (*SOURCES, "qr code")
    expected = {
        "source": [SOURCES.index("gysj"), 11, 0, SOURCES.index("search")],
        "inviter": [-1, 2, 0, -1],
        "seed_group": [1, -1, 2, -1],
        "confirmed": [True, False, True, True],
        "left": [7, STAYS, 30, STAYS],
    }
    assert {name: getattr(joins, name).tolist() for name in expected} == expected
    # zoe joins nothing, and z has no member: both are of the log, and it is said.
    assert np.diff(joins.offsets).tolist() == [2, 2, 0]
    assert {(remark.what, remark.count) for remark in joins.reading.remarks} == {
        ("inviters_without_joins", 1), ("seed_groups_without_members", 1)
    }  # fmt: skip


def test_read__takes_traces_with_our_names_as_they_are(tmp_path: Path) -> None:
    header, rows = ROWS.split("\n", 1)
    ours = {name: role for role, name in NAMES.items()}
    path = _written(tmp_path, ",".join(ours[name] for name in header.split(",")) + "\n" + rows)
    expected = JoinLog.read(_written(tmp_path / "..", ROWS), **NAMES)  # type: ignore[arg-type]
    assert JoinLog.read(path).equals(expected)
    bare = JoinLog.read(path, source="", confirmed="", inviter="", seed_group="", left="")
    nothing = dict.fromkeys(("source", "confirmed", "inviter", "seed_group", "left"))
    kept = replace(expected, **nothing, sources=SOURCES)  # type: ignore[arg-type]
    assert bare.to_arrow().equals(kept.to_arrow().replace_schema_metadata(
        bare.to_arrow().schema.metadata))  # fmt: skip


def test_traces__are_the_same_from_every_format_and_back(tmp_path: Path) -> None:
    path = _written(tmp_path)
    expected = JoinLog.read(path, **NAMES)  # type: ignore[arg-type]
    frame = pd.read_csv(path)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    text = frame.assign(ok=frame["ok"].astype(str))
    text.to_parquet(tmp_path / "raw.parquet")
    got = {
        "gzip": JoinLog.read(tmp_path / "log.csv.gz", **NAMES),  # type: ignore[arg-type]
        "pandas": JoinLog.from_dataframe(text, **NAMES),
        "polars": JoinLog.from_dataframe(pl.from_pandas(text), **NAMES),
        "parquet": JoinLog.read(tmp_path / "raw.parquet", **NAMES),  # type: ignore[arg-type]
        "arrow": JoinLog.from_dataframe(expected.to_arrow()),
        "converted": _converted(path, tmp_path / "a", **NAMES),
    }
    expected.to_parquet(tmp_path / "stored.parquet")
    got["stored"] = JoinLog.read(tmp_path / "stored.parquet")
    got["stored, converted"] = _converted(tmp_path / "stored.parquet", tmp_path / "b")
    assert [name for name, joins in got.items() if not joins.equals(expected)] == []


def test_traces__ids_that_a_frame_made_floating_are_whole_numbers() -> None:
    frame = pd.DataFrame({"user": [1, 2], "group": [5, 5], "time": [3, 4], "inviter": [2, np.nan],
                          "seed_group": [np.nan, np.nan], "left": [np.nan, 9]})  # fmt: skip
    joins = JoinLog.from_dataframe(frame)
    assert joins.inviter is not None
    assert joins.seed_group is not None
    assert joins.left is not None
    assert (joins.inviter.tolist(), joins.seed_group.tolist()) == ([1, -1], [-1, -1])
    assert joins.left.tolist() == [STAYS, 6]


def test_left__seconds_that_are_all_midnights_are_days(tmp_path: Path) -> None:
    rows = "user,group,time,left\na,x,2024-01-01T00:00Z,2024-01-05T00:00Z\na,y,2024-01-02T00:00Z,\n"
    joins = JoinLog.read(_written(tmp_path, rows))
    assert joins.left is not None
    assert (joins.tick, joins.left.tolist()) == ("day", [4, STAYS])
    hour = JoinLog.read(_written(tmp_path, rows.replace("05T00", "05T01")))
    assert hour.left is not None
    assert (hour.tick, hour.left.tolist()) == ("second", [4 * 86_400 + 3_600, STAYS])
    for name, text in (("days", rows), ("seconds", rows.replace("05T00", "05T01"))):
        path = _written(tmp_path, text)
        assert _converted(path, tmp_path / name).equals(JoinLog.read(path))


def test_windows__of_who_only_invites_reach_from_first_to_last_invitation(tmp_path: Path) -> None:
    rows = "user,group,time,inviter,observed_from,observed_until\n" + "".join(
        f"{user},{group},{time},{by},0,99\n"
        for user, group, time, by in (("a", "x", 10, "z"), ("b", "x", 20, "z"), ("b", "y", 30, "a"))
    )
    path = _written(tmp_path, rows)
    for joins in (JoinLog.read(path), _converted(path, tmp_path / "parts")):
        assert joins.users.to_pylist() == ["a", "b", "z"]
        assert joins.observed_from is not None
        assert joins.observed_from.tolist() == [-10, -10, 0]
        assert joins.observed_until.tolist() == [89, 89, 10]


def test_parts__hold_traces_and_the_ids_of_inviters_in_the_whole_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 1)
    path = _written(tmp_path)
    joins = JoinLog.read(path, **NAMES)  # type: ignore[arg-type]
    for whole in (joins, _converted(path, tmp_path / "parts", **NAMES)):
        parts = list(whole.parts())
        assert [part.part_of for part in parts] == [(0, 3), (1, 3), (2, 3)]
        for name in ("source", "confirmed", "inviter", "seed_group", "left"):
            columns = [getattr(part, name) for part in parts]
            assert np.concatenate(columns).tolist() == getattr(joins, name).tolist()
        assert all(part.sources == joins.sources for part in parts)
        assert all(loads(dumps(part)).equals(part) for part in parts)
        assert all(replace(part).equals(part) for part in parts)


def test_until__knows_no_leaving_of_a_later_day() -> None:
    sources = (*SOURCES, "qr code")
    joins = JoinLog.from_arrays(
        [0, 0, 1], [0, 1, 0], [0, 5, 2], left=[3, 9, 8], source=[11, 0, 11], sources=sources
    )
    seen = until(joins, 8)
    assert seen.left is not None
    assert seen.left.tolist() == [3, STAYS, STAYS]
    assert seen.sources == sources
    assert until(joins, 9).equals(replace(joins, left=np.array([3, STAYS, 8], np.int32),
                                          observed_until=joins.observed_until))  # fmt: skip


# Laws --------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c", "ü"])
SOME = st.one_of(st.just(""), st.sampled_from(["a", "b", "stranger", "10"]))
TRACED = st.lists(
    st.tuples(
        IDS, IDS, st.integers(0, 2), st.sampled_from(["", "gysj", "qr", "mail"]), st.booleans(),
        SOME, SOME, st.one_of(st.none(), st.integers(3, 5)),
    ),
    min_size=1, max_size=20,
)  # fmt: skip
ROLES = ("user", "group", "time", "source", "confirmed", "inviter", "seed_group", "left")


def _twin(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What stays of rows, by names: the order of names is that of ids, and none comes first."""
    order = [*SOURCES, *sorted({row[3] for row in rows} - {""} - set(SOURCES))]
    least: dict[tuple[str, str], tuple[Any, ...]] = {}
    for user, group, time, source, confirmed, inviter, seed, left in rows:
        key = (time, order.index(source or "unknown"), confirmed, inviter.encode(), seed.encode(),
               STAYS if left is None else left)  # fmt: skip
        least[user, group] = min(key, least.get((user, group), key))
    found = [(user, key[0], group, *key[1:]) for (user, group), key in least.items()]
    return sorted(found, key=lambda row: (row[0].encode(), row[1], row[2].encode()))


@given(TRACED, st.randoms(use_true_random=False))
def test_traces__read_and_converted_are_those_of_the_twin(
    rows: list[tuple[Any, ...]], random: Any
) -> None:
    columns = [list(column) for column in zip(*random.sample(rows, len(rows)), strict=True)]
    table = pa.table(dict(zip(ROLES, columns, strict=True)))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log.parquet"
        pq.write_table(table, path)
        joins = JoinLog.read(path)
        patch.setattr(conversion, "_LARGEST_BLOCK", 1)
        patch.setattr(conversion, "_LARGEST_RUN", 1)
        patch.setattr("gateway.log.columns._FEWEST_ROWS", 3)
        mapped = _converted(path, Path(folder) / "parts")
        assert mapped.equals(joins)
    assert joins.equals(JoinLog.from_dataframe(pa.table(
        dict(zip(ROLES, zip(*rows, strict=True), strict=True)), schema=table.schema)))  # fmt: skip
    users, groups = joins.users.to_pylist(), joins.groups.to_pylist()
    found = joins.to_arrow().to_pydict()
    assert joins.source is not None
    assert joins.left is not None
    left = [t if t == STAYS else t + joins.origin for t in joins.left.tolist()]
    inviters, seeds = ([(name or "").encode() for name in found[key]]
                       for key in ("inviter", "seed_group"))  # fmt: skip
    got = zip(
        found["user"], found["time"], found["group"], joins.source.tolist(), found["confirmed"],
        inviters, seeds, left, strict=True,
    )  # fmt: skip
    assert list(got) == _twin(rows)
    assert set(users) == {row[0] for row in rows} | {row[5] for row in rows} - {""}
    assert set(groups) == {row[1] for row in rows} | {row[6] for row in rows} - {""}


# What is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gysj,,y,true,2024-01-09", "gysj,,y,true,2024-01-02",
         "the join of 'x' by user 'ann' must be before column 'gone', 2024-01-02; got 2024-01-02 "
         "in data row 2"),
        (",ann,z,yes,2024-02-01", ",ann,z,yes,5",
         "column 'gone' must be of one kind; data row 1 holds a date"),
        ("search,,,true", "search,,,perhaps",
         "column 'ok' must hold true or false; got 'perhaps' in data row 1"),
        ("search,,,true", "search,,,",
         "column 'ok' must not be empty; got nothing in data row 1"),
    ],
)  # fmt: skip
def test_read__says_which_row_has_a_trace_that_cannot_be(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = _written(tmp_path, ROWS.replace(old, new))
    with pytest.raises(LogError, match=re.escape(f"{path}: {said}")):
        JoinLog.read(path, **NAMES)  # type: ignore[arg-type]
    with pytest.raises(LogError, match=re.escape(f"{path}: {said}")):
        _converted(path, tmp_path / "parts", **NAMES)


def test_read__a_column_that_was_taken_for_its_name_can_be_left_out(tmp_path: Path) -> None:
    path = _written(tmp_path, "user,group,time,confirmed\na,x,1,on Monday\n")
    with pytest.raises(LogError, match=r"taken for its name; confirmed='' leaves it out"):
        JoinLog.read(path)
    assert JoinLog.read(path, confirmed="").confirmed is None


def test_read__refuses_a_column_of_very_many_sources(tmp_path: Path) -> None:
    rows = "user,group,time,source\n" + "".join(f"a,g{k},1,way {k:03}\n" for k in range(246))
    path = _written(tmp_path, rows)
    said = "the sources must have at most 245 names beside those of the note; got 246, such as 'way"
    for read in (JoinLog.read, lambda path: _converted(path, tmp_path / "parts")):
        with pytest.raises(LogError, match=re.escape(said)):
            read(path)
    assert (
        len(JoinLog.read(_written(tmp_path, rows.replace("a,g245,1,way 245\n", ""))).sources) == 256
    )


def test_join_log__refuses_a_leaving_that_is_not_later_than_the_join() -> None:
    joins = JoinLog.from_arrays([0, 0], [0, 1], [3, 4], left=[4, STAYS])
    assert joins.left is not None
    for left in ([3, STAYS], [4, 4], [4, 0]):
        with pytest.raises(ValueError, match="left must be later than time; for join"):
            replace(joins, left=np.array(left, np.int32))


# The commands ------------------------------------------------------------------------------

OPTIONS = ["--user-column", "who", "--group-column", "what", "--time-column", "day",
           "--source-column", "how", "--inviter-column", "by", "--seed-column", "from",
           "--confirmed-column", "ok", "--left-column", "gone"]  # fmt: skip


def test_convert__takes_traces_under_any_name(tmp_path: Path) -> None:
    path, out = _written(tmp_path), tmp_path / "out"
    done = CliRunner().invoke(app, ["convert", str(path), "--out", str(out), "--json", *OPTIONS])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["users"] == 3
    expected = JoinLog.read(path, **NAMES)  # type: ignore[arg-type]
    assert JoinLog.read(out).equals(expected)


def test_detect__hands_the_names_of_columns_to_the_reader() -> None:
    config = config_for_log(
        Path("log.csv"), targets=None, named=["x"], detectors=None, horizon=None, seed=None,
        settings=[],
        columns={"user": "who", "group": "what", "time": "day", "source_column": "how",
                 "inviter_column": "by", "seed_column": "from",
                 "confirmed_column": "ok", "left_column": "gone", "from_column": None,
                 "until_column": ""},
    )  # fmt: skip
    assert config.log is not None
    assert config.log.columns == NAMES | {"observed_until": ""}
