"""Reading logs and lists, and what is said of bad ones."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway import log as logs
from gateway.errors import LogError
from gateway.log import files, row_sources
from gateway.log.join_log import JoinLog

HEADER = b"user,group,time\n"
DAY_ZERO = dt.date(1970, 1, 1)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _read(content: bytes, name: str = "joins.csv", **columns: str) -> JoinLog:
    Path(name).write_bytes(content)
    return JoinLog.read(name, **columns)  # type: ignore[arg-type]


def _rows(joins: JoinLog) -> dict[str, list[Any]]:
    """Users, groups and ticks since 1970 of a log, by user and time."""
    rows = joins.to_arrow().select(["user", "group"]).to_pydict()
    return rows | {"time": (joins.time.astype(np.int64) + joins.origin).tolist()}


def _ticks_of(path: str) -> tuple[str, list[int]]:
    """Unit and ticks since 1970 of a log of one user, by group."""
    joins = JoinLog.read(path)
    ticks = joins.time.astype(np.int64)[np.argsort(joins.group)] + joins.origin
    return joins.tick, ticks.tolist()


def _ticks(*times: str) -> tuple[str, list[int]]:
    rows = "".join(f"u,g{i},{time}\n" for i, time in enumerate(times))
    Path("joins.csv").write_text(HEADER.decode() + rows)
    return _ticks_of("joins.csv")


def _parquet_ticks(times: Any) -> tuple[str, list[int]]:
    names = [f"g{i}" for i in range(len(times))]
    table = pa.table({"user": ["u"] * len(times), "group": names, "time": times})
    pq.write_table(table, "t.parquet")
    return _ticks_of("t.parquet")


def _complaint(content: bytes, name: str = "joins.csv", **columns: str) -> str:
    with pytest.raises(LogError) as caught:
        _read(content, name, **columns)
    return str(caught.value)


# What is read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"b,x,2\na,y,1\n",
        b"\xef\xbb\xbf" + HEADER + b"b,x,2\na,y,1",
        (HEADER + b"b,x,2\na,y,1\n").replace(b"\n", b"\r\n"),
        HEADER + b"\nb,x,2\n\n\na,y,1\n\n",
        b'"user","time","more","group"\n"b","2","\xff","x"\n"a","1","","y"\n',
        gzip.compress(HEADER + b"b,x,2\n", mtime=0) + gzip.compress(b"a,y,1\n"),
    ],
    ids=["plain", "byte order mark", "windows", "blank lines", "other columns", "two gzip members"],
)
def test_read__takes_any_csv_for_what_it_holds(content: bytes) -> None:
    expected = {"user": ["a", "b"], "group": ["y", "x"], "time": [1, 2]}
    assert _rows(_read(content)) == expected


def test_read__judges_the_format_by_content_not_by_name() -> None:
    content = HEADER + b"b,x,2\n"
    expected = _read(content)
    assert _read(content, "joins.csv.gz").equals(expected)
    assert _read(gzip.compress(content, mtime=0), "joins.csv").equals(expected)
    pq.write_table(pa.table({"user": ["b"], "group": ["x"], "time": [2]}), "joins.csv")
    assert JoinLog.read("joins.csv").equals(expected)


def test_read__keeps_quoted_commas_quotes_and_line_breaks() -> None:
    got = _rows(_read(HEADER + b'"a,b","say ""hi""\nthere",1\nnull,NA,2\n'))
    assert got["user"] == ["a,b", "null"]
    assert got["group"] == ['say "hi"\nthere', "NA"]


def test_read__takes_other_column_names() -> None:
    content = b"who,what,when,user\na,x,1,z\n"
    got = _rows(_read(content, user="who", group="what", time="when"))
    assert got == {"user": ["a"], "group": ["x"], "time": [1]}


def test_read__takes_integers_as_names_in_parquet_as_in_csv() -> None:
    pq.write_table(pa.table({"user": [10, 9], "group": [1, 2], "time": [1, 2]}), "n.parquet")
    got = JoinLog.read("n.parquet")
    assert got.equals(_read(HEADER + b"10,1,1\n9,2,2\n"))


def test_read__takes_the_parts_of_a_folder_that_are_data() -> None:
    for name, user in (("b/1", "second"), ("a", "first"), (".hidden/x", "?"), ("_old/x", "?")):
        path = Path("log") / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"user": [user], "group": ["g"], "time": [1]}), path)
    assert _rows(JoinLog.read("log"))["user"] == ["first", "second"]


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_from_dataframe__takes_every_arrow_type_of_text(kind: pa.DataType) -> None:
    texts = {"user": ["a", "b"], "group": ["x", "x"], "time": ["2020-01-01", "2020-01-02"]}
    plain = pa.table(texts)
    got = JoinLog.from_dataframe(pa.table({k: pa.array(v).cast(kind) for k, v in texts.items()}))
    assert got.equals(JoinLog.from_dataframe(plain))


# Time ------------------------------------------------------------------------------------


def test_time__dates_are_days_before_1970_too() -> None:
    dates = ["1816-01-01", "1970-01-01", "2020-02-29", "0001-01-01", "9999-12-31"]
    expected = [(dt.date.fromisoformat(date) - DAY_ZERO).days for date in dates]
    assert _ticks(*dates) == ("day", expected)
    assert _parquet_ticks([dt.date.fromisoformat(date) for date in dates]) == ("day", expected)
    assert _parquet_ticks(dates) == ("day", expected)


def test_time__timestamps_without_zone_are_seconds_floored() -> None:
    times = ["1969-12-31T23:59:58.5", "1970-01-01 00:00", "2020-03-01T12:30:15.999999999999"]
    expected = [-2, 0, 1_583_065_815]
    assert _ticks(*times) == ("second", expected)


def test_time__zones_are_brought_to_utc() -> None:
    times = ["2020-03-01T12:30:15Z", "2020-03-01T13:30:15+01:00", "2020-03-01 07:00:15.5-0530"]
    assert _ticks(*times) == ("second", [1_583_065_815] * 3)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_time__parquet_timestamps_are_seconds_floored(unit: str, zone: str | None) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    raw = [-per_second - per_second // 2, -1, 0, 3 * per_second + per_second // 2]
    expected = [value // per_second for value in raw]
    assert _parquet_ticks(pa.array(raw, pa.timestamp(unit, zone))) == ("second", expected)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([-5, 2**40]), [-5, 2**40]),
        (pa.array([7, 2**63 - 1], pa.uint64()), [7, 2**63 - 1]),
        (pa.array([-5, 7], pa.int8()), [-5, 7]),
        (pa.array([-5.0, 2.0**53]), [-5, 2**53]),
    ],
    ids=["int64", "uint64", "int8", "whole floats"],
)
def test_time__integers_are_taken_as_they_are(column: pa.Array, expected: list[int]) -> None:
    # One by one: together they span more than a log may.
    got = [_parquet_ticks(column[i : i + 1]) for i in range(len(column))]
    assert got == [("integer", [value]) for value in expected]


def test_time__integers_in_text_may_have_a_sign_and_leading_zeros() -> None:
    assert _ticks("-12", "007", "20200101") == ("integer", [-12, 7, 20_200_101])


def test_time__date64_is_floored_to_the_day() -> None:
    day = 86_400_000
    assert _parquet_ticks(pa.array([-day, 0, 3 * day], pa.date64())) == ("day", [-1, 0, 3])


@pytest.mark.parametrize(
    "bad",
    [
        "yesterday",
        "2020-02-30",
        "2020-13-01",
        "0000-01-01",
        "2020-1-1",
        " 2020-01-01",
        "2020-01-01T24:00:00",
        "2020-01-01T10:00:00 Z",
        "2020-01-01T10:00:00+25:00",
        "1.0",
        "99999999999999999999",
    ],
)
def test_time__what_is_no_time_is_refused_with_row_and_value(bad: str) -> None:
    message = _complaint(HEADER + f"u,g,{bad}\n".encode())
    assert message.startswith("joins.csv: column 'time' must hold dates (2020-03-01), ISO")
    assert message.endswith(f"got '{bad}' in data row 1")


@pytest.mark.parametrize("bad", ["soon", "2020-02-30"])
def test_time__the_first_bad_row_is_named_and_the_others_counted(bad: str) -> None:
    rows = ["2020-02-28", bad, "2020-02-29", bad, bad]
    message = _complaint(HEADER + "".join(f"u,g{i},{t}\n" for i, t in enumerate(rows)).encode())
    assert message.endswith(f"got '{bad}' in data row 2, and 2 more rows")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("2020-01-01", "7", "a date ('2020-01-01'); got an integer ('7') in data row 2"),
        ("7", "2020-01-01", "an integer ('7'); got a date ('2020-01-01') in data row 2"),
        (
            "2020-01-01T10:00:00",
            "2020-01-01T10:00:00Z",
            "(give every timestamp a zone, or none)",
        ),
    ],
)
def test_time__kinds_are_not_mixed(first: str, second: str, said: str) -> None:
    message = _complaint(HEADER + f"u,g,{first}\nu,h,{second}\n".encode())
    assert "must be of one kind; data row 1 holds" in message
    assert message.endswith(said)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.0, 2.5]), "got 2.5 in data row 2"),
        (pa.array([1.0, 1e300]), "got 1e+300 in data row 2"),
        (pa.array([1.0, 2.0**53 + 2]), "got 9007199254740994.0 in data row 2"),
        (pa.array([1, 2**64 - 1], pa.uint64()), "got 18446744073709551615 in data row 2"),
        (pa.array([True, False]), "got values of type bool"),
        (pa.array([1.0, float("nan")]), "must not be empty; got nothing in data row 2"),
        (pa.array([1, None]), "must not be empty; got nothing in data row 2"),
    ],
)
def test_time__parquet_numbers_that_are_no_integers_are_refused(column: Any, said: str) -> None:
    with pytest.raises(LogError, match=f"column 'time' .*{re.escape(said)}$"):
        _parquet_ticks(column)


@pytest.mark.parametrize(
    ("text", "tick", "expected"),
    [
        ("180d", "day", 180),
        ("2 w", "day", 14),
        ("30", "day", 30),
        ("12h", "second", 43_200),
        ("90s", "second", 90),
        ("5min", "second", 300),
        ("1d", "second", 86_400),
        (" 30 ", "integer", 30),
    ],
)
def test_parse_duration__counts_ticks(text: str, tick: logs.Tick, expected: int) -> None:
    assert logs.parse_duration(text, tick) == expected


@pytest.mark.parametrize(
    ("text", "tick", "said"),
    [
        ("12h", "day", "must be in one of d, w in a log of days; got 'h'"),
        ("3d", "integer", "must be a bare number, as the times of the log are integers"),
        ("1.5d", "day", "must be a whole number and a unit, such as 180d"),
        ("-3d", "day", "must be a whole number and a unit, such as 180d"),
        ("", "day", "must be a whole number and a unit, such as 180d"),
        ("0", "day", "must come to 1 to 2,147,483,647 ticks; got 0"),
        ("9999999999", "day", "must come to 1 to 2,147,483,647 ticks; got 9,999,999,999"),
    ],
)
def test_parse_duration__says_what_is_wrong(text: str, tick: logs.Tick, said: str) -> None:
    with pytest.raises(LogError, match=f"^the duration '{re.escape(text)}' {re.escape(said)}$"):
        logs.parse_duration(text, tick)


# Bad logs --------------------------------------------------------------------------------

_ROWS = b"".join(b"u%d,g%d,%d\n" % (i, i * i, i) for i in range(2_000))
GZIP = gzip.compress(HEADER + _ROWS, mtime=0)


def test_read__refuses_a_parquet_file_that_no_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pq.write_table(pa.table({"user": ["u"] * 100, "group": ["g"] * 100, "time": [1] * 100}), "x")
    monkeypatch.setattr(row_sources, "memory_bytes", lambda: 99 * 12)
    with pytest.raises(LogError, match=r"must fit into memory, .* here; got 100 rows, which take"):
        JoinLog.read("x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file must hold a join log; it is empty"),
        (b"\n\n", "the file must have a header and rows; it is blank"),
        (HEADER, "must hold at least one join; it holds no rows"),
        (HEADER.strip(), "must hold at least one join; it has a header only"),
        (
            HEADER + b"a,b,1\n\na,c\n",
            "data row 2 must have as many cells as the header, 3; got 2 ('a', 'c')",
        ),
        (
            HEADER + b"a,b,1\na,c,2,3\n",
            "data row 2 must have as many cells as the header, 3; got 4 ('a', 'c', '2', '3')",
        ),
        (HEADER + b'"a,b,1\nc,d,2\n', "data row 1 must have as many cells as the header, 3"),
        (b"user,group,time,time\na,b,1,2\n", "column 'time' must be there once; got twice"),
        (
            HEADER + b",b,1\na,b,1\n,c,2\n",
            "column 'user' must not be empty; got nothing in data row 1, and 1 more row",
        ),
        (HEADER + b"a,b,1\na,,1\n", "column 'group' must not be empty; got nothing in data row 2"),
        (HEADER + b"a,b,\n", "column 'time' must not be empty; got nothing in data row 1"),
        (GZIP[:-9], "must be a whole gzip file; it ends too early"),
        (GZIP[:7], "must be a whole gzip file; it ends too early"),
        (GZIP[:-5] + b"?" + GZIP[-4:], "must be a whole gzip file; it is damaged"),
        (GZIP + b"more", "must be a whole gzip file; it is damaged"),
        (
            b"PAR1 and then nothing",
            "must be a whole Parquet file; it is of another format, cut off",
        ),
        (b"PK\x03\x04", "must be a whole zip archive"),
    ],
)
def test_read__says_what_is_wrong_with_a_file(content: bytes, said: str) -> None:
    assert said in _complaint(content)


def test_read__refuses_a_gzip_stream_that_grows_beyond_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "_ALWAYS_ALLOWED", 1 << 20)
    bomb = gzip.compress(HEADER + b"u,g,1\n" * 2_000_000, mtime=0)
    assert "the gzip stream must not grow more than 200-fold; got more than" in _complaint(bomb)
    # A ragged row on the way is not looked for beyond that either.
    ragged = gzip.compress(HEADER + b"u,g,1\n" * 2_000_000 + b"u\n", mtime=0)
    assert "the gzip stream must not grow more than 200-fold" in _complaint(ragged)


def test_read__refuses_a_parquet_file_with_a_damaged_page() -> None:
    names = [f"name {i}" for i in range(1_000)]
    pq.write_table(pa.table({"user": names, "group": names, "time": range(1_000)}), "x.parquet")
    damaged = bytearray(Path("x.parquet").read_bytes())
    damaged[4:400] = bytes(396)
    message = _complaint(bytes(damaged), "x.parquet")
    assert message.startswith("x.parquet: the file must be a whole Parquet file; it is of another")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'"user,group,time\n' + b"a,b,1\n" * 40_000,
            "the header cannot be read as CSV; got field",
        ),
        (
            HEADER + b'a,b,1\nc,x"y"z,\xff\n' + b'"a,b,1\n' + b"a,b,1\n" * 40_000,
            "data row 3 cannot be",
        ),
    ],
    ids=["header", "row"],
)
def test_read__finds_a_quote_that_is_never_closed(content: bytes, said: str) -> None:
    assert said in _complaint(content)


def test_read__names_line_and_byte_of_what_is_not_utf8() -> None:
    content = HEADER + b"a,b,1\na\xff,c,2\n"
    expected = (
        f"joins.csv:3: the text must be UTF-8; got byte 0xff at byte {content.index(0xFF) + 1}"
    )
    assert _complaint(content).startswith(expected)
    assert _complaint(gzip.compress(content, mtime=0)).startswith(expected)
    assert _complaint("user,group,time\n".encode("utf-16")).startswith("joins.csv:1: the text must")


def test_read__names_the_row_of_text_in_parquet_that_is_not_utf8() -> None:
    broken = pa.array([b"a", b"\xff"]).view(pa.string())
    for users in (broken, broken.view(pa.binary())):
        pq.write_table(pa.table({"user": users, "group": ["x", "y"], "time": [1, 2]}), "x.parquet")
        with pytest.raises(
            LogError, match=r"'user' must be UTF-8 text; got b'\\xff' in data row 2"
        ):
            JoinLog.read("x.parquet")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "user,group,date",
            "column 'time' is missing; the columns are 'user', 'group', 'date' "
            "(did you mean 'date'? say so with time='date')",
        ),
        ("User,group,time", "(did you mean 'User'? say so with user='User')"),
        ("user,groups,time,x", "(did you mean 'groups'? say so with group='groups')"),
        ("user,group,p,q,r", "'p', 'q', 'r' (say which one with time='...')"),
        ("user;group;date;x", "'user', 'group', 'date', 'x' (did you mean 'date'?"),
    ],
)
def test_read__says_which_column_may_be_meant(header: str, said: str) -> None:
    assert said in _complaint(f"{header}\n".encode())


def test_read__refuses_one_column_for_two_roles() -> None:
    message = _complaint(HEADER + b"a,b,1\n", group="user")
    assert "column 'user' must not be named for more than one of user, group and time" in message


def test_read__refuses_what_is_not_there_or_no_file() -> None:
    Path("folder").mkdir()
    for path, said in (
        ("nowhere.csv", "nowhere.csv: the file does not exist"),
        ("folder", "folder: the folder must hold .parquet files; it holds none"),
        ("/dev/null", "/dev/null: the path must be a regular file or a folder"),
    ):
        with pytest.raises(LogError, match=f"^{re.escape(said)}$"):
            JoinLog.read(path)


def test_read__names_the_part_and_its_row() -> None:
    Path("log").mkdir()
    good = pa.table({"user": ["a", "b"], "group": ["x", "y"], "time": [1, 2]})
    pq.write_table(good, "log/1.parquet")
    for column, said in (
        (["c", None], "log/2.parquet: column 'user' must not be empty; got nothing in data row 2"),
        ([1.5, 2.5], "log/2.parquet: column 'user' must hold text or integers; got values of type"),
    ):
        pq.write_table(good.set_column(0, "user", pa.array(column)), "log/2.parquet")
        with pytest.raises(LogError, match=re.escape(said)):
            JoinLog.read("log")


def test_read__refuses_parts_that_count_time_differently() -> None:
    Path("log").mkdir()
    names = {"user": ["a"], "group": ["x"]}
    pq.write_table(pa.table(names | {"time": [1]}), "log/1.parquet")
    pq.write_table(pa.table(names | {"time": [dt.date(2020, 1, 1)]}), "log/2.parquet")
    said = "log/2.parquet: the time must be of the same kind as in log/1.parquet, an integer; got"
    with pytest.raises(LogError, match=re.escape(said)):
        JoinLog.read("log")


def test_read__shows_no_control_character_of_a_stranger() -> None:
    message = _complaint(HEADER + b"a,b,1\na,c,\x1b[31m\xe2\x80\xae red\n", "\x1b]0;.csv")
    assert message.isprintable()
    assert r"\x1b[31m\u202e red" in message
    assert message.startswith(r"\x1b]0;.csv: ")


def test_from_csv_and_from_parquet__refuse_the_other_format() -> None:
    _read(HEADER + b"a,b,1\n", "log.csv").to_parquet("log.parquet")
    with pytest.raises(LogError, match=r"must be a CSV file; it is of format parquet"):
        JoinLog.from_csv("log.parquet")
    with pytest.raises(LogError, match=r"log\.csv: the log must be a Parquet file; it is of"):
        JoinLog.from_parquet("log.csv")


# Lists, digests, writing -----------------------------------------------------------------


def test_read_names__takes_one_name_a_line() -> None:
    Path("t.txt").write_bytes(b"\xef\xbb\xbf#pol\r\nTech \r\n\r\n  caf\xc3\xa9 # 1\nTech\n# x\n")
    assert logs.read_names("t.txt") == ("#pol", "Tech", "café # 1", "# x")


GROUPS = "group,category,size\n#a,Tech,1\nb,Tech,2\n c ,Art,2\nb,Tech,3\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"where": {"category": "Tech"}}, ("#a", "b")),
        ({"where": {"category": "Tech", "size": "2"}}, ("b",)),
        ({"column": "group"}, ("#a", "b", "c")),
        ({"column": "category"}, ("Tech", "Art")),
    ],
)
def test_read_names__takes_a_column_of_a_csv_file_and_conditions(
    options: dict[str, Any], expected: tuple[str, ...]
) -> None:
    Path("g.csv").write_text(GROUPS)
    assert logs.read_names("g.csv", **options) == expected
    Path("g.csv.gz").write_bytes(gzip.compress(GROUPS.encode()))
    assert logs.read_names("g.csv.gz", **options) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": {"category": "tech"}}, "column 'category' must be 'tech' in some row that meets "
         "the conditions; it is in none (did you mean 'Tech'?)"),
        ({"where": {"kategory": "Tech"}}, "column 'kategory' must be there once; the columns are "
         "'group', 'category', 'size' (did you mean 'category'?)"),
        ({"column": "name"}, "column 'name' must be there once"),
        ({"where": {"category": "Tech", "size": "9"}}, "column 'size' must be '9' in some row"),
    ],
)  # fmt: skip
def test_read_names__says_what_is_wrong_with_a_csv_file(options: dict[str, Any], said: str) -> None:
    Path("g.csv").write_text(GROUPS)
    with pytest.raises(LogError, match=f"^g.csv: {re.escape(said)}"):
        logs.read_names("g.csv", **options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\nb\xe9\n", "t.txt:2: the line must be UTF-8; got byte 0xe9 at position 2"),
        (b" \n\n", "t.txt: the file must hold at least one name, one a line; it holds none"),
    ],
)
def test_read_names__says_what_is_wrong(content: bytes, said: str) -> None:
    Path("t.txt").write_bytes(content)
    with pytest.raises(LogError, match=f"^{re.escape(said)}$"):
        logs.read_names("t.txt")


def test_read_names__refuses_a_missing_file() -> None:
    with pytest.raises(LogError, match=r"^nowhere\.txt: the file does not exist$"):
        logs.read_names("nowhere.txt")


def test_file_digest__is_the_sha256_of_the_bytes() -> None:
    Path("log.csv").write_bytes(HEADER)
    assert logs.file_digest("log.csv") == hashlib.sha256(HEADER).hexdigest()
    with pytest.raises(LogError, match=r"nowhere\.csv: the file does not exist"):
        logs.file_digest("nowhere.csv")


def test_file_digest__of_a_folder_sees_every_part_and_its_name() -> None:
    Path("log").mkdir()
    seen = set()
    for name, content in (("a", b"1"), ("b", b"1"), ("b", b"2")):
        Path(f"log/{name}.parquet").write_bytes(content)
        seen.add(logs.file_digest("log"))
    assert len(seen) == 3
    Path("log/b.parquet").rename("log/c.parquet")
    assert logs.file_digest("log") not in seen


def test_write_parquet__gives_the_same_bytes_and_leaves_nothing_else() -> None:
    table = pa.table({"n": range(5_000)})
    logs.write_parquet(table, "new/a.parquet")
    logs.write_parquet(table, "new/b.parquet")
    assert Path("new/a.parquet").read_bytes() == Path("new/b.parquet").read_bytes()
    assert sorted(path.name for path in Path("new").iterdir()) == ["a.parquet", "b.parquet"]
    assert pq.read_metadata("new/a.parquet").row_group(0).column(0).compression == "ZSTD"


def test_write_parquet__keeps_the_old_file_when_writing_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_table: pa.Table, stream: Any, **_options: object) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    table = pa.table({"n": [1]})
    logs.write_parquet(table, "a.parquet")
    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(LogError, match=r"a\.parquet: the file cannot be written; got No space"):
        logs.write_parquet(pa.table({"n": [2]}), "a.parquet")
    assert pq.read_table("a.parquet").equals(table)
    assert [path.name for path in Path().iterdir()] == ["a.parquet"]
