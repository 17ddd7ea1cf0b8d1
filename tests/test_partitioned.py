"""Logs larger than memory: converted into a folder of columns, and mapped."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from distributed.protocol.pickle import dumps, loads
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.errors import GatewayError, LogError
from gateway.log import file_digest, invariants
from gateway.log.columns import Columns
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.mapped import Manifest, read_manifest
from gateway.log.spill import Spill
from gateway.log.work import parse_size
from gateway.simulate import simulate
from gateway.world import draw_world
from tests.worlds import small_config

ROOT = Path(__file__).parents[1]
MEMORY = 2**26


def _rows(n: int = 3_000, seed: int = 1) -> dict[str, list]:
    """Rows of days, with ties and with repeated memberships."""
    rng = np.random.default_rng(seed)
    days = np.datetime64("2019-12-20") + rng.integers(0, 60, n)
    return {
        "user": [f"üser {u}" for u in rng.integers(0, 400, n)],
        "group": [f"g,{g}" for g in rng.zipf(1.4, n) % 50],
        "time": [str(day) for day in days],
    }


def _write_csv(path: Path, rows: dict[str, list], order: np.ndarray | None = None) -> Path:
    table = pa.table(rows)
    pyarrow.csv.write_csv(table if order is None else table.take(order), path)
    return path


def _convert(log: Path, out: Path, **kwargs) -> Manifest:
    out.mkdir()
    return convert_log(log, out, memory=MEMORY, columns=Columns(**kwargs))


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_convert_log__gives_the_log_that_join_log_reads(tmp_path):
    log = _write_csv(tmp_path / "a.csv", _rows())
    made = _convert(log, tmp_path / "parts")
    got, expected = JoinLog.read(tmp_path / "parts"), JoinLog.read(log)
    assert got.equals(expected)
    assert (made.users, made.groups, made.joins) == (
        expected.n_users, expected.n_groups, expected.n_joins,
    )  # fmt: skip
    assert made.rows == 3_000 > made.joins
    assert read_manifest(tmp_path / "parts") == made


@pytest.mark.parametrize("kind", ["shuffled", "by_user", "gzip", "parquet", "folder"])
def test_convert_log__is_the_same_bytes_for_any_order_and_format(tmp_path, kind):
    rows = _rows()
    n = len(rows["user"])
    _convert(_write_csv(tmp_path / "a.csv", rows), tmp_path / "expected")
    shuffled = np.random.default_rng(5).permutation(n)
    other = tmp_path / "other"
    if kind == "gzip":
        other.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    elif kind == "parquet":
        pq.write_table(pa.table(rows).take(shuffled), other, row_group_size=100)
    elif kind == "folder":
        other.mkdir()
        for k, start in enumerate((0, 1_000, 2_500)):
            piece = pa.table(rows).take(shuffled)[start : (1_000, 2_500, n)[k]]
            pq.write_table(piece, other / f"{k}.parquet")
    else:
        order = shuffled if kind == "shuffled" else np.argsort(rows["user"])
        _write_csv(other, rows, order)
    _convert(other, tmp_path / "got")
    assert _content(tmp_path / "got") == _content(tmp_path / "expected")


@pytest.mark.parametrize(("block", "run"), [(2**14, 2**13), (2**16, 2**15), (2**21, 2**28)])
def test_convert_log__is_the_same_bytes_for_any_block_size(tmp_path, monkeypatch, block, run):
    log = _write_csv(tmp_path / "a.csv", _rows())
    _convert(log, tmp_path / "expected")
    module = "gateway.log.conversion"
    monkeypatch.setattr(f"{module}._LARGEST_BLOCK", block)
    monkeypatch.setattr(f"{module}._LARGEST_RUN", run)
    _convert(log, tmp_path / "got")
    assert _content(tmp_path / "got") == _content(tmp_path / "expected")


@pytest.mark.parametrize("users", ["close", "far apart", "negative", "long", "mixed"])
def test_convert_log__orders_whole_numbers_as_their_texts(tmp_path, monkeypatch, users):
    """A run of numbers has keys, and one that holds others has names: both are merged."""
    rows, n = _rows(), 3_000
    number = np.random.default_rng(8).integers(0, 300, n)
    if users != "close":
        number = number**3 * 7
    if users in ("negative", "long"):
        number[n // 2 :] *= -1 if users == "negative" else 10**10
    rows |= {"user": number.tolist(), "inviter": np.roll(number, 3).tolist()}
    (tmp_path / "log").mkdir()
    for k, piece in enumerate((slice(0, n // 2), slice(n // 2, n))):
        table = pa.table({name: values[piece] for name, values in rows.items()})
        if users == "mixed" and k:
            table = table.set_column(0, "user", table["user"].cast(pa.string()))
        pq.write_table(table, tmp_path / f"log/{k}.parquet")
    for name, run in (("one", 2**28), ("many", 2**13)):
        monkeypatch.setattr("gateway.log.conversion._LARGEST_RUN", run)
        _convert(tmp_path / "log", tmp_path / name)
    assert _content(tmp_path / "one") == _content(tmp_path / "many")
    assert JoinLog.open(tmp_path / "one").equals(JoinLog.read(tmp_path / "log"))


@pytest.mark.parametrize("joins_per_part", [1, 7, 10**5])
def test_parts__end_with_the_user_who_fills_them(tmp_path, monkeypatch, joins_per_part):
    monkeypatch.setattr(invariants, "JOINS_PER_PART", joins_per_part)
    log = _write_csv(tmp_path / "a.csv", _rows(120))
    _convert(log, tmp_path / "parts")
    joins = JoinLog.read(log)
    expected, held, users = [], 0, 0
    for count in np.diff(joins.offsets):
        held, users = held + int(count), users + 1
        if held >= joins_per_part:
            expected.append((users, held))
            held = users = 0
    expected += [(users, held)] if users else []
    for whole in (joins, JoinLog.open(tmp_path / "parts")):
        assert [(part.n_users, part.n_joins) for part in whole.parts()] == expected


@pytest.mark.parametrize("place", ["memory", "mapped"])
def test_parts__are_views_of_the_whole_log(tmp_path, monkeypatch, place):
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 500)
    log = _write_csv(tmp_path / "a.csv", _rows())
    _convert(log, tmp_path / "parts")
    joins = JoinLog.read(tmp_path / "parts" if place == "mapped" else log)
    parts = list(joins.parts())
    assert len(parts) > 2
    for name in ("group", "time", "observed_until"):
        columns = [getattr(part, name) for part in parts]
        assert np.concatenate(columns).tolist() == getattr(joins, name).tolist()
        assert all(np.shares_memory(column, getattr(joins, name)) for column in columns)
    assert pa.concat_arrays([part.users for part in parts]).equals(joins.users)
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    assert counts.tolist() == np.diff(joins.offsets).tolist()
    # Made anew, with all checks, a part is the same log.
    assert all(replace(part).equals(part) for part in parts)


@pytest.mark.parametrize("place", ["memory", "mapped"])
def test_parts__go_to_another_process_whole(tmp_path, monkeypatch, place):
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 500)
    log = _write_csv(tmp_path / "a.csv", _rows())
    _convert(log, tmp_path / "parts")
    joins = JoinLog.read(tmp_path / "parts" if place == "mapped" else log)
    for part in (joins, *joins.parts()):
        sent = dumps(part)
        assert loads(sent).equals(part)
        # Of a mapped log only the place is sent.
        assert (len(sent) < 500) == (place == "mapped")


def test_convert_log__gives_plain_arrays_with_a_digest_each(tmp_path):
    log = _write_csv(tmp_path / "a.csv", _rows())
    made = _convert(log, tmp_path / "parts")
    joins = JoinLog.read(log)
    for name in ("offsets", "group", "time"):
        got = np.load(tmp_path / "parts" / f"{name}.npy")
        assert (got.dtype, got.tolist()) == (
            getattr(joins, name).dtype, getattr(joins, name).tolist()
        )  # fmt: skip
    assert set(made.digests) == {path.name for path in (tmp_path / "parts").glob("*.npy")}
    for name, digest in made.digests.items():
        assert digest == file_digest(tmp_path / "parts" / name)


def test_open__gives_arrays_that_are_mapped_and_cannot_be_written_to(tmp_path):
    _convert(_write_csv(tmp_path / "a.csv", _rows(100)), tmp_path / "parts")
    joins = JoinLog.open(tmp_path / "parts")
    for name in ("offsets", "group", "time"):
        column = getattr(joins, name)
        assert not column.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01T10:00:00Z", "2020-01-01T09:59:59.5+00:00", "1969-12-31T23:59:59Z"],
        ["2020-01-01 10:00", "2020-01-02 10:00", "2020-01-03 10:00"],
        ["-7", "12", "2000000000"],
    ],
)
def test_convert_log__keeps_every_kind_of_time(tmp_path, times):
    rows = {"user": ["a", "b", "a"], "group": ["x", "x", "y"], "time": times}
    log = _write_csv(tmp_path / "a.csv", rows)
    _convert(log, tmp_path / "parts")
    assert JoinLog.read(tmp_path / "parts").equals(JoinLog.read(log))


def test_convert_log__keeps_the_last_tick_of_a_repeated_row(tmp_path):
    """The last row repeats a membership: it does not count, but the log ran until then."""
    rows = {"user": ["a", "b", "a"], "group": ["x", "x", "x"], "time": ["1", "2", "9"]}
    log = _write_csv(tmp_path / "a.csv", rows)
    made = _convert(log, tmp_path / "parts")
    got = JoinLog.read(tmp_path / "parts")
    assert (made.last, got.observed_until.tolist()) == (8, [8, 8])
    assert got.equals(JoinLog.read(log))


def test_merged__gives_every_user_whole_and_in_order(tmp_path):
    rng = np.random.default_rng(0)
    every = []
    with Spill(tmp_path / "spill") as spill:
        for _ in range(7):
            users = sorted(f"{u:04}" for u in rng.zipf(1.2, 20_000) % 3_000)
            every += users
            spill.add(pa.table({"user": users, "tick": [1] * len(users)}))
        tables = [table["user"].to_pylist() for table in spill.merged(memory=1)]
    assert sorted(user for table in tables for user in table) == sorted(every)
    assert len(tables) > 3
    assert all(max(a) < min(b) for a, b in pairwise(tables))


# Errors ----------------------------------------------------------------------------------

BAD = {
    "empty user": ("b,g,5\n" * 9_000 + ",g,5\n", "column 'user' must not be empty", 9_001),
    "no time": ("b,g,5\n" * 9_000 + "b,g,x\n", "column 'time' must hold dates", 9_001),
    "ragged": ("b,g,5\n" * 9_000 + "b,g\n", "must have as many cells as the header", 9_001),
}


@pytest.mark.parametrize("case", BAD)
def test_convert_log__names_the_row_of_a_bad_value(tmp_path, monkeypatch, case):
    monkeypatch.setattr("gateway.log.conversion._LARGEST_BLOCK", 2**12)
    text, rule, row = BAD[case]
    (tmp_path / "a.csv").write_text("user,group,time\n" + text)
    with pytest.raises(LogError) as raised:
        _convert(tmp_path / "a.csv", tmp_path / "parts")
    assert rule in str(raised.value)
    assert str(tmp_path / "a.csv") in str(raised.value)
    assert f"data row {row}" in str(raised.value)
    assert not any((tmp_path / "parts").iterdir())


def test_convert_log__refuses_another_kind_of_time_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.log.conversion._LARGEST_BLOCK", 2**10)
    text = "user,group,time\n" + "b,g,5\n" * 5_000 + "b,g,2020-01-01\n" * 5_000
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(LogError, match="kind"):
        _convert(tmp_path / "a.csv", tmp_path / "parts")


def test_convert_log__refuses_a_span_beyond_32_bits(tmp_path):
    rows = {"user": ["a", "b"], "group": ["x", "y"], "time": ["0", str(2**31)]}
    with pytest.raises(LogError, match="must span at most"):
        _convert(_write_csv(tmp_path / "a.csv", rows), tmp_path / "parts")


def test_convert_log__refuses_a_log_without_rows(tmp_path):
    (tmp_path / "a.csv").write_text("user,group,time\n")
    with pytest.raises(LogError, match="at least one join"):
        _convert(tmp_path / "a.csv", tmp_path / "parts")


STORED = {
    "windows": {"observed_from": 0, "observed_until": [60, 61, 62, 63, 64]},
    "windows of days": {"observed_from": [0, 1, 2, 0, 1], "observed_until": 70, "tick": "day"},
    "idle users": {"users": ["e", "d", "c", "b", "a", "0", "zz"]},
    "idle users with windows": {
        "users": ["e", "d", "c", "b", "a", "0", "zz"], "observed_from": -7,
        "observed_until": [59, 60, 61, 62, 63, 64, 65],
    },
    "idle groups": {"groups": ["z", "y", "x", "w"]},
    "another origin": {"origin": 1_000_000, "tick": "second"},
}  # fmt: skip


@pytest.mark.parametrize("case", STORED)
def test_convert_log__keeps_what_a_stored_log_says_beside_its_joins(tmp_path, case):
    columns = [0, 1, 2, 0, 3, 4, 4], [0, 1, 2, 2, 0, 1, 2], [3, 4, 5, 9, 33, 55, 55]
    joins = JoinLog.from_arrays(*columns, **STORED[case])
    joins.to_parquet(tmp_path / "a.parquet")
    made = _convert(tmp_path / "a.parquet", tmp_path / "parts")
    got = JoinLog.read(tmp_path / "parts")
    assert got.equals(joins)
    assert (made.users, made.groups) == (joins.n_users, joins.n_groups)


def test_convert_log__keeps_all_of_a_simulated_log(tmp_path, monkeypatch):
    """Blocks and runs are small, so that there are many."""
    monkeypatch.setattr("gateway.log.conversion._LARGEST_RUN", 2**15)
    monkeypatch.setattr("gateway.log.conversion._LARGEST_BLOCK", 2**13)
    joins = simulate(draw_world(small_config()))
    assert (np.diff(joins.offsets) == 0).any()
    assert len(np.unique(joins.observed_until - joins.observed_from)) > 1
    joins.to_parquet(tmp_path / "a.parquet")
    _convert(tmp_path / "a.parquet", tmp_path / "parts")
    got = JoinLog.read(tmp_path / "parts")
    assert (joins.inviter >= 0).any()
    assert (joins.seed_group >= 0).any()
    assert got.equals(joins)


def test_convert_log__refuses_windows_that_contradict_each_other(tmp_path):
    joins = JoinLog.from_arrays([0, 0, 1], [0, 1, 1], [3, 4, 5], observed_until=[9, 8])
    table = joins.to_arrow()
    at = table.column_names.index("observed_until")
    changed = table.set_column(at, "observed_until", pa.array([9, 10, 8]))
    pq.write_table(changed, tmp_path / "a.parquet")
    with pytest.raises(LogError, match="must be the same in every row of the user"):
        _convert(tmp_path / "a.parquet", tmp_path / "parts")


def _turned(column: np.ndarray) -> np.ndarray:
    """Offsets from 0 to the end that fall in between."""
    return np.concatenate([column[:1], column[-2:0:-1], column[-1:]])


CHANGED = {
    "cut off": ("group", lambda column: column[:-1], "must be .* values of int32"),
    "other type": ("time", lambda column: column.astype(np.int64), "values of int32"),
    "no order": ("time", lambda column: column[::-1], "must stand by time"),
    "unknown group": ("group", lambda column: column + 1_000, "must be in"),
    "names in no order": ("users.text", lambda column: column[::-1], "sorted|UTF8"),
    "names beyond the end": ("users.offsets", lambda column: column * 2, "must be .* values"),
    "offsets": ("offsets", lambda column: column[::-1], "offsets must"),
    "offsets within": ("offsets", _turned, "cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_open__refuses_columns_that_were_changed(tmp_path, case):
    _convert(_write_csv(tmp_path / "a.csv", _rows(100)), tmp_path / "parts")
    name, change, rule = CHANGED[case]
    place = tmp_path / "parts" / f"{name}.npy"
    np.save(place, change(np.load(place)))
    with pytest.raises(LogError, match=f"{rule}|must be that of the manifest"):
        JoinLog.open(tmp_path / "parts")
    # Whoever changes a column can change the manifest with it.
    told = tmp_path / "parts/manifest.json"
    manifest = json.loads(told.read_text())
    manifest["digests"][place.name] = hashlib.sha256(place.read_bytes()).hexdigest()
    told.write_text(json.dumps(manifest))
    with pytest.raises(LogError, match=rule):
        JoinLog.open(tmp_path / "parts")


def test_open__refuses_a_file_that_is_no_array(tmp_path):
    _convert(_write_csv(tmp_path / "a.csv", _rows(100)), tmp_path / "parts")
    (tmp_path / "parts/time.npy").write_bytes(b"nothing")
    with pytest.raises(LogError, match=r"time\.npy"):
        JoinLog.open(tmp_path / "parts")


def test_open__refuses_what_is_not_converted(tmp_path):
    log = _write_csv(tmp_path / "a.csv", _rows(10))
    for path in (log, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LogError, match="gateway convert"):
            JoinLog.open(path)


def test_read__of_a_converted_log_knows_no_other_columns(tmp_path):
    _convert(_write_csv(tmp_path / "a.csv", _rows(10)), tmp_path / "parts")
    with pytest.raises(LogError, match="columns are user, group and time"):
        JoinLog.read(tmp_path / "parts", user="who")


@pytest.mark.parametrize("old", ["gateway partitioned join log, 2", "gateway join log, 3"])
def test_command__says_what_to_do_with_a_folder_of_another_version(tmp_path, old):
    """Parquet parts and their manifest, or what is not known yet."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": old, "parts": []}))
    rows = pa.table({"user": ["a"], "group": ["b"], "time": [1]})
    pq.write_table(rows, folder / "part-0.parquet")
    for command in (["detect", str(folder), "--target", "b"], ["convert", str(folder)]):
        out = tmp_path / "out"
        done = CliRunner().invoke(app, [*command, "--out", str(out)])
        assert isinstance(done.exception, LogError)
        assert "convert the log anew, with 'gateway convert'" in str(done.exception)
        assert not out.exists()


def test_convert_log__refuses_what_is_converted(tmp_path):
    _convert(_write_csv(tmp_path / "a.csv", _rows(10)), tmp_path / "parts")
    with pytest.raises(LogError, match="converted already"):
        _convert(tmp_path / "parts", tmp_path / "again")


@pytest.mark.parametrize("noted", [b"{", b"[1]", b"\xff", b"7"])
def test_convert_log__refuses_a_stored_log_that_was_changed(tmp_path, noted):
    table = pa.table({"user": ["a"], "group": ["b"], "time": [1]})
    table = table.replace_schema_metadata({b"gateway.join_log": noted})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(LogError, match="cannot be restored"):
        _convert(tmp_path / "a.parquet", tmp_path / "parts")


def test_convert_log__asks_for_memory_enough(tmp_path):
    log = _write_csv(tmp_path / "a.csv", _rows(10))
    with pytest.raises(LogError, match="must be at least 64 MiB"):
        convert_log(log, tmp_path, memory=2**26 - 1)


@pytest.mark.parametrize("text", ["", "2", "2XB", "-1GiB", "1e9", "GiB", "9" * 40])
def test_parse_size__takes_amounts_alone(text):
    if text == "2":
        assert parse_size(text) == 2
    else:
        with pytest.raises(LogError, match="such as 2GiB"):
            parse_size(text)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda m: m | {"tick": "year"}, "tick: input should be 'day'"),
        (lambda m: m | {"joins": "1"}, "joins: input should be a valid integer"),
        (lambda m: m | {"users": 2**62}, "users: input should be less than"),
        (lambda m: m | {"users": 2**31 - 1}, "must be 2,147,483,648 values"),
        (lambda m: m | {"users": -1}, "users: input should be greater"),
        (lambda m: m | {"last": 2**40}, "last: input should be less than"),
        (lambda m: m | {"sources": ["x"] * 300}, "sources"),
        (lambda m: m | {"sources": [["x"]]}, "sources.0"),
        (lambda m: m | {"digests": {}}, "must be that of the manifest"),
        (lambda m: m | {"digests": dict.fromkeys(m["digests"], "0" * 64)}, "that of the manifest"),
        (lambda m: m | {"digests": list(m["digests"])}, "digests"),
        (lambda m: m | {"joins": m["joins"] + 1}, "must be"),
        (lambda m: {"format": m["format"]}, "cannot be used"),
        (lambda m: m | {"more": 1}, "cannot be used"),
        (lambda m: m | {"digests": {"../x.npy": "0" * 64}}, "digests"),
        (lambda m: m | {"digests": {"x": ""}}, "digests"),
        (lambda m: m | {"digests": {"x.npy": "0" * 64}}, "missing"),
    ],
)
def test_read_manifest__refuses_one_that_was_changed(tmp_path, change, rule):
    _convert(_write_csv(tmp_path / "a.csv", _rows(100)), tmp_path / "parts")
    place = tmp_path / "parts/manifest.json"
    place.write_text(json.dumps(change(json.loads(place.read_text()))))
    with pytest.raises(LogError, match=rule):
        JoinLog.read(tmp_path / "parts")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "mine"}', "\xff", "[" * 10_000])
def test_read_manifest__leaves_other_files_alone(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    assert read_manifest(tmp_path) is None


# The command -----------------------------------------------------------------------------


def test_convert__writes_a_folder_and_says_what_is_in_it(tmp_path):
    log = _write_csv(tmp_path / "a.csv", _rows())
    out = tmp_path / "parts"
    done = CliRunner().invoke(app, ["convert", str(log), "--out", str(out), "--json"])
    assert done.exit_code == 0
    got = json.loads(done.stdout)
    joins = JoinLog.read(out)
    assert (got["joins"], got["users"], got["rows"]) == (joins.n_joins, joins.n_users, 3_000)


def test_convert__leaves_nothing_of_a_bad_log_and_nothing_over_a_filled_folder(tmp_path):
    bad = tmp_path / "a.csv"
    bad.write_text("user,group,time\na,b,1\na,b,x\n")
    for out in (tmp_path / "parts", tmp_path):
        done = CliRunner().invoke(app, ["convert", str(bad), "--out", str(out)])
        assert isinstance(done.exception, GatewayError)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


_MEASURE = """
import sys
from pathlib import Path
import gateway.cli.own_logs
from experiments.memory import peak_mib, resident_mib, restart_peak
from gateway.log.conversion import convert_log

log, small, memory = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for path in (small, log):
    start = resident_mib()
    restart_peak()
    out = path.with_suffix(".parts")
    out.mkdir()
    convert_log(path, out, memory=memory)
print(peak_mib() - start)
"""


def test_convert_log__keeps_to_its_memory_on_a_log_four_times_as_large(tmp_path):
    rng = np.random.default_rng(2)
    names = pa.array([hashlib.sha256(b"%d" % k).hexdigest() for k in range(30_000)])
    groups = pa.array([f"group {k}" for k in range(5_000)])
    log = tmp_path / "large.csv"
    with log.open("wb") as stream:
        stream.write(b'"user","group","time","inviter","source"\n')
        options = pyarrow.csv.WriteOptions(include_header=False)
        while stream.tell() < 4 * MEMORY:
            n = 100_000
            table = pa.table(
                {
                    "user": names.take(rng.integers(0, len(names), n)),
                    "group": groups.take(rng.zipf(1.3, n) % 5_000),
                    "time": rng.integers(0, 10**8, n),
                    "inviter": names.take(rng.integers(0, len(names), n)),
                    "source": pa.array(["gysj", "search", "qr"]).take(rng.integers(0, 3, n)),
                }
            )
            pyarrow.csv.write_csv(table, stream, options)
    rows = _rows(100)
    small = _write_csv(tmp_path / "small.csv", rows | {"inviter": rows["user"]})
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(log), str(small), str(MEMORY)],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert float(done.stdout) < MEMORY / 2**20
