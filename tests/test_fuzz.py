"""Arbitrary logs and places: a clear complaint or a whole result, never anything between."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli.own_logs import config_for_log
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.log.join_log import JoinLog
from gateway.publish import run
from gateway.results import Result

NASTY = (
    "a", "b", "c", "d", "bad", "", " ", "0", "-1", "1e999", "NaN", "None", "\x00", "\x1b[31mred",
    "<script>alert(1)</script>", "</script>", "\\input{/etc/passwd}", "$x_1$", "%", "a,b", 'q"q',
    "two\nlines", "\u202eright", "../../etc", "=1+1", "é", "\U0001f600", "x" * 400,
)  # fmt: skip
TIMES = (
    "0", "1", "2", "3", "7", "-5", "007", "2147483647", "2147483648", "-99999999999999999999",
    "NaN", "inf", "1.5", "2020-01-01", "2020-02-30", "2020-01-01T00:00:00Z", "1816-01-01",
    "2020-01-01T12:00:00+05:30", "2020-01-01 12:00:00", "9999-12-31", "", "yesterday", "\x00",
)  # fmt: skip
# Deadlines are for slow code; here the first run compiles.
ONE_BY_ONE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The fixture that draws nothing is the same for all examples.
WHOLE_RUNS = settings(
    max_examples=5, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip

rows = st.lists(
    st.tuples(st.sampled_from(NASTY), st.sampled_from(NASTY), st.sampled_from(TIMES)), max_size=30
)
# Enough users who end in the target and enough who do not; strangers' rows come on top.
SOUND = [
    (f"u{u}", g, str(day + u % 3)) for u in range(60) for day, g in enumerate("abc"[: 1 + u % 3])
]
ENDING = [(f"u{u}", "bad", "9") for u in range(0, 60, 4)]
more_rows = st.lists(
    st.tuples(
        st.integers(0, 70).map("u{}".format),
        st.sampled_from([name for name in NASTY if name and "\x00" not in name]),
        st.integers(-3, 12).map(str),
    ),
    max_size=150,
)


def as_csv(table: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([("user", "group", "time"), *table])
    return text.getvalue().encode("utf-8")


def read(content: bytes) -> JoinLog | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        path.write_bytes(content)
        try:
            return JoinLog.read(path)
        except GatewayError as error:
            said = str(error)
    # One line, and nothing in it that could command a terminal.
    assert said.isprintable()
    return None


@given(st.binary(max_size=400))
@ONE_BY_ONE
def test_read__arbitrary_bytes_are_a_log_or_a_complaint_in_one_line(content):
    read(content)


@given(st.binary(max_size=200))
@ONE_BY_ONE
def test_read__arbitrary_bytes_after_a_header_are_a_log_or_a_complaint(content):
    read(b"user,group,time\n" + content)


@given(rows)
@ONE_BY_ONE
def test_read__nasty_cells_are_a_log_or_a_complaint(table):
    log = read(as_csv(table))
    if log is not None:
        # A user joins a group once, whatever the file repeats.
        assert log.n_joins == len({(user, group) for user, group, _ in table})


@given(rows, st.binary(min_size=1, max_size=8), st.integers(0, 10_000))
@ONE_BY_ONE
def test_read__a_damaged_parquet_file_is_a_log_or_a_complaint(table, damage, place):
    user, group, time = zip(*table, strict=True) if table else ((), (), ())
    text = pa.string()
    sink = io.BytesIO()
    columns = {"user": pa.array(user, text), "group": pa.array(group, text)}
    pq.write_table(pa.table({**columns, "time": pa.array(time, text)}), sink)
    content = bytearray(sink.getvalue())
    place %= len(content)
    content[place : place + len(damage)] = damage
    read(bytes(content))


@pytest.mark.compiled
@pytest.mark.usefixtures("undrawn")
@given(more_rows)
@WHOLE_RUNS
def test_run__with_strangers_names_is_whole_and_escaped(table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        path.write_bytes(as_csv([*SOUND, *ENDING, *table]))
        assert_whole(run(tiny_config(path), folder=Path(folder, "out")))


@pytest.mark.compiled
@given(rows)
@WHOLE_RUNS
def test_run__of_a_bad_log_leaves_nothing(table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        path.write_bytes(as_csv(table))
        # Too few users in any of these logs to learn from.
        with pytest.raises(GatewayError):
            run(tiny_config(path), folder=Path(folder, "out"))
        assert [p.name for p in Path(folder).iterdir()] == ["log.csv"]


def tiny_config(path: Path) -> Config:
    return config_for_log(
        path, targets=None, named=["bad"], detectors=None,
        columns={"user": "user", "group": "group", "time": "time"}, horizon=None, seed=1,
        settings=["spike.min_joiners=2", "spike.min_spiking=1", "figures.curves=1"],
    )  # fmt: skip


def assert_whole(result: Result) -> None:
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    for name in ("<script>alert(1)", "\x1b", "\x00"):
        assert name not in page
    assert page.count("</script>") == page.count("<script")
    assert result.table("gateways").num_rows > 0
    assert all("input" not in p.name and ".." not in p.name for p in result.folder.rglob("*"))
