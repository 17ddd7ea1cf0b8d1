"""The same joins in every form that people have them in give the same log."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import sqlite3
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from gateway.errors import LogError
from gateway.log import exports, file_digest, files
from gateway.log.columns import Columns
from gateway.log.conversion import convert_log
from gateway.log.exports import read_export
from gateway.log.join_log import JoinLog

ROWS = [
    ("eve", "b", 5), ("ann, Dr", "b;c", 2), ("eve", "a\ttab", 3), ("ünal", "b", 2), ("eve", "b", 9),
]  # fmt: skip
NAMES = ("user", "group", "time")


def _table(rows=ROWS):
    return pa.table(dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True)))


def _csv(delimiter):
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(_table(), buffer, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return buffer.getvalue()


def _ndjson():
    lines = (json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) for row in ROWS)
    return "\n".join([*lines, ""]).encode()


def _feather(path, compression="lz4"):
    pyarrow.feather.write_feather(_table(), path, compression=compression)


def _stream(path):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, _table().schema) as writer:
        writer.write_table(_table())


def _sqlite(path):
    connection = sqlite3.connect(path)
    connection.execute('CREATE TABLE other ("x")')
    connection.execute('CREATE TABLE joins (user TEXT, "group" TEXT, time INTEGER)')
    connection.executemany("INSERT INTO joins VALUES (?, ?, ?)", ROWS)
    connection.commit()
    connection.close()


def _duckdb(path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is an extra")
    connection = duckdb.connect(str(path))
    connection.execute('CREATE TABLE joins ("user" TEXT, "group" TEXT, "time" INTEGER)')
    connection.executemany("INSERT INTO joins VALUES (?, ?, ?)", ROWS)
    connection.close()


def _excel(path):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is an extra")
    book = openpyxl.Workbook()
    for row in (NAMES, *ROWS):
        book.active.append(row)
    book.save(path)


def _pack(name, content):
    if name == "zstd":
        return pa.compress(content, codec="zstd", asbytes=True)
    return {"gzip": gzip, "bzip2": bz2, "xz": lzma}[name].compress(content)


FORMS = {
    "comma": lambda path: path.write_bytes(_csv(",")),
    "semicolon": lambda path: path.write_bytes(_csv(";")),
    "tab": lambda path: path.write_bytes(_csv("\t")),
    "bar": lambda path: path.write_bytes(_csv("|")),
    "ndjson": lambda path: path.write_bytes(_ndjson()),
    "feather": _feather,
    "feather_plain": lambda path: _feather(path, "uncompressed"),
    "arrow_stream": _stream,
    "parquet": lambda path: pq.write_table(_table(), path),
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "excel": _excel,
    **{
        f"csv_{packing}": lambda path, p=packing: path.write_bytes(_pack(p, _csv(";")))
        for packing in ("gzip", "zstd", "bzip2", "xz")
    },
    "ndjson_zstd": lambda path: path.write_bytes(_pack("zstd", _ndjson())),
}


@pytest.fixture
def expected():
    return JoinLog.from_dataframe(_table())


@pytest.mark.parametrize("form", FORMS)
def test_log__is_the_same_whatever_its_form(form, expected, tmp_path):
    path = tmp_path / "log.dat"
    FORMS[form](path)
    got = JoinLog.read(path)
    assert got.equals(expected)
    assert got.rows_read == 5
    folder = tmp_path / "converted"
    folder.mkdir()
    convert_log(path, folder, memory=2**26)
    assert JoinLog.open(folder).equals(expected)


@pytest.mark.parametrize("form", ["semicolon", "ndjson", "feather", "sqlite", "excel"])
def test_log__takes_columns_of_any_name_in_any_form(form, expected, tmp_path, monkeypatch):
    names = ("who", "what", "when")
    monkeypatch.setitem(globals(), "NAMES", names)
    path = tmp_path / "log.dat"
    if form == "sqlite":
        connection = sqlite3.connect(path)
        connection.execute('CREATE TABLE log (who, what, "when")')
        connection.executemany("INSERT INTO log VALUES (?, ?, ?)", ROWS)
        connection.commit()
        connection.close()
    else:
        FORMS[form](path)
    assert JoinLog.read(path, user="who", group="what", time="when").equals(expected)
    with pytest.raises(LogError, match=r"column 'user' is missing; the columns are 'who'"):
        JoinLog.read(path)


def test_ndjson__column_that_begins_with_nulls_has_names_later(tmp_path):
    rows = [{"user": f"u{i}", "group": "a", "time": i, "inviter": None} for i in range(1_100)]
    rows[-1]["inviter"] = "u0"
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    joins = JoinLog.read(path)
    assert joins.users[int(joins.inviter[joins.inviter >= 0][0])].as_py() == "u0"


def test_from_query__takes_what_the_query_gives(expected, tmp_path):
    path = tmp_path / "log.sqlite"
    _sqlite(path)
    query = 'SELECT user AS who, "group", time + 1 AS time FROM joins'
    got = JoinLog.from_query(path, query, user="who")
    assert got.origin == expected.origin + 1
    assert np.array_equal(got.time, expected.time)
    for wrong, said in (
        ("SELECT * FROM joinz", "the query must be readable as a database's; got no such table"),
        ("BEGIN", "the query must give rows; got 'BEGIN'"),
        ("DROP TABLE joins", "the query must be readable as a database's; got attempt to write"),
    ):
        with pytest.raises(LogError, match=said):
            JoinLog.from_query(path, wrong)
    with pytest.raises(LogError, match="does not exist"):
        JoinLog.from_query(tmp_path / "nowhere.sqlite", query)


def test_database__without_a_log_says_what_it_holds(tmp_path):
    path = tmp_path / "log.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE join_s (x)")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    message = r"one or a view named joins; got 'join_s', 'other' \(did you mean 'join_s'\?\)"
    with pytest.raises(LogError, match=message):
        JoinLog.read(path)


def test_frames__of_every_library_give_the_same_log(expected):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is an extra")
    table = _table()
    relation = duckdb.from_arrow(table)
    for frame in (table, table.to_pandas(), pl.from_arrow(table), relation, expected):
        assert JoinLog.from_dataframe(frame).equals(expected)
    got = duckdb.sql("SELECT count(*) FROM expected").fetchall()
    assert got == [(expected.n_joins,)]
    assert isinstance(expected.to_pandas(), pd.DataFrame)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"user": "a", "group": "b", "time": 1}\n{"user": 3, "group": "b", "time": 1}\n',
         "data row 2: 'user' must be of one type in all rows; it is string in the.*; got int64"),
        (b'{"user": "a", "group": "b", "time": 1}\n[1]\n', "data row 2 must be a JSON object"),
        (b'{"user": "a", "group": "b", "time": 1}\n{"user"\n', "data row 2 must be a JSON object"),
        (b'{"user": ["a"], "group": "b", "time": 1}\n', "must hold plain values"),
        (b"[1, 2]", "the export must hold your_group_membership_activity.json"),
        (_pack("zstd", _csv(","))[:-9], "must be a whole zstd file"),
        (_pack("xz", _csv(","))[:-9], "must be a whole xz file; it ends too early"),
        (_pack("bzip2", _csv(","))[:-9], "must be a whole bzip2 file; it ends too early"),
        (b"ARROW1\0\0nonsense", "must be a whole Arrow file"),
        (b"SQLite format 3\0nonsense", "the file must be readable as a database's"),
        (b"PK\x03\x04nonsense", "must be a whole zip archive"),
    ],
)  # fmt: skip
def test_broken_file__is_named_with_the_rule(content, said, tmp_path):
    path = tmp_path / "log.dat"
    path.write_bytes(content)
    with pytest.raises(LogError, match=f"log.dat.*{said}"):
        JoinLog.read(path)


def test_ndjson__with_another_type_far_down_names_the_row(tmp_path):
    rows = [{"user": f"u{i}", "group": "a", "time": i} for i in range(1_500)]
    rows[1_200]["time"] = "soon"
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(LogError, match=r"data row 1201: 'time' must be int64.*got 'soon'"):
        JoinLog.read(path)


# What platforms give -----------------------------------------------------------------------


def _facebook(events):
    """A file as Facebook writes it: UTF-8 bytes as if they were Latin-1."""

    def mangled(text):
        return text.encode().decode("latin-1")

    items = [
        {"timestamp": time, "data": [{"name": mangled(group)}],
         "title": mangled(title.format(group))}
        for time, group, title in events
    ]  # fmt: skip
    return json.dumps({"groups_joined_v2": items})


EN_IN, EN_OUT = "You became a member of {}.", "You stopped being a member of {}."
# Of a language that nobody taught the reader.
XX_IN, XX_OUT = "Zorp {} glim.", "Zorp {} nolt."


def _donations(folder):
    first = folder / "ann" / "groups" / "your_group_membership_activity.json"
    first.parent.mkdir(parents=True)
    first.write_text(_facebook([(200, "Café", EN_OUT), (100, "Café", EN_IN), (150, "b", EN_IN)]))
    (folder / "ann" / "messages.json").write_text('{"messages": "not a chat"}')
    with zipfile.ZipFile(folder / "bo.zip", "w") as archive:
        archive.writestr(
            "x/your_group_membership_activity.json",
            _facebook([(10, "Café", XX_IN), (20, "Café", XX_OUT), (30, "b", XX_IN),
                       (40, "Café", XX_IN)]),
        )  # fmt: skip


def test_facebook__joins_and_leaves_in_any_language(tmp_path):
    _donations(tmp_path)
    got = read_export(tmp_path).to_pydict()
    rows = {
        (user, group): (int(time.timestamp()), None if left is None else int(left.timestamp()))
        for user, group, time, left in zip(*got.values(), strict=True)
    }
    # By hand: ann left the café; bo left it and came back.
    assert rows == {
        ("ann", "Café"): (100, 200), ("ann", "b"): (150, None), ("bo", "Café"): (10, None),
        ("bo", "b"): (30, None),
    }  # fmt: skip
    joins = JoinLog.read(tmp_path)
    assert joins.users.to_pylist() == ["ann", "bo"]
    assert joins.left is not None
    folder = tmp_path.parent / "converted_facebook"
    folder.mkdir()
    convert_log(tmp_path, folder, memory=2**26, columns=Columns())
    assert JoinLog.open(folder).equals(joins)


def test_facebook__titles_that_cannot_be_told_are_named(tmp_path):
    path = tmp_path / "your_group_membership_activity.json"
    path.write_text(
        _facebook([(1, "a", XX_IN), (2, "a", XX_OUT), (1, "b", XX_OUT), (2, "b", XX_IN)])
    )
    with pytest.raises(LogError, match=r"told apart as joins and leaves.*'Zorp \{\} glim\.'"):
        read_export(path)


TELEGRAM = {
    "name": "Makers", "type": "private_supergroup", "id": 7,
    "messages": [
        {"type": "message", "date_unixtime": "100", "from": "Ann", "from_id": "user1"},
        {"type": "service", "action": "invite_members", "date_unixtime": "200", "actor": "Ann",
         "actor_id": "user1", "members": ["Bo", "Cy"]},
        {"type": "message", "date_unixtime": "300", "from": "Bo", "from_id": "user2"},
        {"type": "service", "action": "join_group_by_link", "date": "1970-01-01T00:06:40",
         "actor": "Di", "actor_id": "user4", "inviter": "Group"},
        {"type": "message", "date_unixtime": "500", "from": "Makers", "from_id": "channel7"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
def test_telegram__joins_are_notices_or_first_messages(whole, tmp_path):
    own = {"type": "message", "date_unixtime": "1", "from": "Ann", "from_id": "user1"}
    talk = {"name": "x", "type": "personal_chat", "messages": [own]}
    chats = {"chats": {"list": [TELEGRAM, talk]}}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(chats if whole else TELEGRAM, indent=1))
    joins = JoinLog.read(path)
    got = joins.to_arrow().select(["user", "group", "inviter"]).to_pylist()
    by = {row["user"]: row["inviter"] for row in got}
    assert by == {"user1": None, "user2": "user1", "Cy": "user1", "user4": None}
    times = dict(zip(joins.users.to_pylist(), joins.time + joins.origin, strict=True))
    assert times == {"user1": 100, "user2": 200, "Cy": 200, "user4": 400}
    assert joins.groups.to_pylist() == ["Makers"]


def test_discord__joins_a_server_at_the_first_message_in_any_channel(tmp_path):
    def channel(name, *messages):
        text = json.dumps({
            "guild": {"id": "1", "name": "Club"}, "channel": {"id": name, "name": name},
            "messages": [
                {"type": kind, "timestamp": f"2024-01-01T00:00:{second:02d}+00:00",
                 "author": {"id": who, "name": who, "isBot": who == "bot"}}
                for kind, second, who in messages
            ],
        })  # fmt: skip
        (tmp_path / f"{name}.json").write_text(text)

    channel("one", ("Default", 9, "ann"), ("GuildMemberJoin", 30, "bo"), ("Default", 1, "bot"))
    channel("two", ("Default", 5, "ann"), ("Default", 40, "bo"))
    joins = JoinLog.read(tmp_path)
    assert joins.users.to_pylist() == ["ann", "bo"]
    assert (joins.time - joins.time[0]).tolist() == [0, 25]


def test_discord__servers_of_one_name_stay_apart(tmp_path):
    for number in ("1", "2"):
        message = {"type": "Default", "timestamp": "2024-01-01T00:00:00+00:00",
                   "author": {"id": "ann"}}  # fmt: skip
        chat = {"guild": {"id": number, "name": "Club"}, "messages": [message]}
        (tmp_path / f"{number}.json").write_text(json.dumps(chat))
    assert JoinLog.read(tmp_path).groups.to_pylist() == ["Club (1)", "Club (2)"]


def test_export__that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_ALWAYS_ALLOWED", 1 << 16)
    with zipfile.ZipFile(tmp_path / "bo.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.json", b" " * (1 << 20))
    with pytest.raises(LogError, match="must not grow more than 200-fold; got 1,048,576 bytes"):
        JoinLog.read(tmp_path)


_FB = "your_group_membership_activity.json"
_EVENT = {"timestamp": 1, "title": "You became a member of x.", "data": [{"name": "x"}]}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (_FB, {"groups_joined_v2": 5}),
        (_FB, {"groups_joined_v2": [5]}),
        (_FB, {"groups_joined_v2": [{**_EVENT, "title": None}]}),
        (_FB, {"groups_joined_v2": [{**_EVENT, "data": {"name": "x"}}]}),
        (_FB, {"groups_joined_v2": [{**_EVENT, "timestamp": float("nan")}]}),
        (_FB, {"groups_joined_v2": [{**_EVENT, "timestamp": 10**30}]}),
        (_FB, {"groups_joined_v2": [{**_EVENT, "timestamp": float("inf")}]}),
        ("t.json", {"type": {}, "messages": [{"date": [], "from_id": {}}]}),
        ("t.json", {"messages": [{"date_unixtime": "9" * 5000, "from_id": "u"}]}),
        ("t.json", {"messages": [{"date_unixtime": "5", "from_id": "u", "members": 3,
                                  "action": "invite_members"}]}),
        ("d.json", {"guild": 3, "messages": [{}]}),
        ("d.json", {"guild": {"name": "g"}, "messages": [
            {"author": {"id": "1"}, "timestamp": "0001-01-01T00:00:00+14:00"}]}),
    ],
)  # fmt: skip
def test_export__of_other_kinds_than_its_platform_writes_is_complained_of(tmp_path, name, document):
    (tmp_path / name).write_text(json.dumps(document))
    with pytest.raises(LogError, match=re.escape(str(tmp_path / name))):
        read_export(tmp_path)


@pytest.mark.parametrize("source", ["read_csv('{}', header=true)", "'{}'"])
def test_duckdb__view_of_a_stranger_reads_no_other_file(tmp_path, source):
    duckdb = pytest.importorskip("duckdb", reason="the extra [duckdb] is not installed")
    secret = tmp_path / "secret.csv"
    secret.write_text("user,group,time\na,password,1\n")
    with duckdb.connect(str(tmp_path / "log.db")) as database:
        view = f"CREATE VIEW joins AS SELECT * FROM {source.format(secret)}"  # noqa: S608
        database.execute(view)
    with pytest.raises(LogError, match="file system operations are disabled"):
        JoinLog.read(tmp_path / "log.db")
    # What the caller asks for is the caller's own.
    query = f"SELECT * FROM '{secret}'"  # noqa: S608  (a file of ours)
    got = JoinLog.from_query(tmp_path / "log.db", query)
    assert got.groups.to_pylist() == ["password"]


def _zip(tmp_path, change):
    path = tmp_path / "bo.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_FB, json.dumps({"groups_joined_v2": [_EVENT] * 99}))
    content = bytearray(path.read_bytes())
    change(content, content.find(b"PK\x01\x02"))
    path.write_bytes(content)
    return path


def _encrypted(content, at):
    content[6] |= 1
    content[at + 8] |= 1


def _packed_otherwise(content, at):
    content[8] = content[at + 10] = 99


def _damaged(content, at):
    content[at - 40 : at - 20] = b"x" * 20


@pytest.mark.parametrize("change", [_encrypted, _packed_otherwise, _damaged])
def test_zip__that_cannot_be_unpacked_is_complained_of(tmp_path, change):
    path = _zip(tmp_path, change)
    with pytest.raises(LogError, match=r"bo\.zip.*must be a whole zip archive that anybody can"):
        read_export(path)


@pytest.mark.parametrize("packed", [False, True])
def test_export__larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch, packed):
    text = json.dumps(TELEGRAM).encode()
    path = tmp_path / "result.json"
    path.write_bytes(_pack("gzip", text) if packed else text)
    whole = JoinLog.read(path)
    # By hand: the text three times, and what stands for each object, list, text and item.
    needed = 3 * len(text) + 232 * text.count(b"{") + 88 * text.count(b"[")
    needed += 29 * text.count(b'"') + 40 * text.count(b",")
    monkeypatch.setattr(exports, "memory_bytes", lambda: needed)
    assert JoinLog.read(path).equals(whole)
    for memory in (needed - 1, len(text)):
        monkeypatch.setattr(exports, "memory_bytes", lambda memory=memory: memory)
        with pytest.raises(LogError, match=r"the export must fit into memory, .*export fewer"):
            JoinLog.read(path)


@pytest.mark.parametrize("of", ["{}", '{"a":1}', '["ab"]', '"é"', '"\\ud83d\\ude00"', "1.5",
                                '{"a":[],"b":{"c":"d"}}'])  # fmt: skip
def test_export__takes_at_most_the_memory_that_was_estimated(of):
    """Python's own account of the memory of a value, beside the estimate."""
    text = f"[{','.join([of] * 50_000)}]".encode()
    tracemalloc.start()
    json.loads(text)
    taken = tracemalloc.get_traced_memory()[1] + len(text)
    tracemalloc.stop()
    assert taken <= exports.memory_of(text)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": ' * 100_000])
def test_export__nested_without_end_is_no_traceback(content, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(LogError, match=r"result\.json.* must be"):
        JoinLog.read(path)


def test_digest__of_a_folder_of_exports_follows_what_is_read(tmp_path):
    _donations(tmp_path)
    before = file_digest(tmp_path)
    (tmp_path / "ann" / "messages.json").write_text("{}")
    assert file_digest(tmp_path) == before
    activity = next(tmp_path.rglob("your_group*.json"))
    activity.write_text(activity.read_text() + " ")
    assert file_digest(tmp_path) != before


def test_reddit__dump_needs_no_names_of_columns(tmp_path):
    rows = [
        {"author": "ann", "subreddit": "cats", "created_utc": 1_600_000_000, "body": "x"},
        {"author": "ann", "subreddit": "cats", "created_utc": 1_500_000_000, "score": 3},
    ]
    path = tmp_path / "RC_2020-01.zst"
    path.write_bytes(_pack("zstd", "\n".join(map(json.dumps, rows)).encode()))
    joins = JoinLog.read(path)
    assert joins.tick == "second"
    assert joins.when(joins.time).to_pylist()[0].isoformat() == "2017-07-14T02:40:00+00:00"
