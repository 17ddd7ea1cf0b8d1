"""What the reader says it did, on small logs whose right values are known by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.targets import named_targets, reading_with


def _read(folder: Path, rows: list[str], **options: str) -> JoinLog:
    path = folder / "log.csv"
    path.write_text("user,group,time\n" + "\n".join(rows) + "\n")
    return JoinLog.read(path, **options)  # type: ignore[arg-type]


def _kinds(joins: JoinLog) -> dict[str, int]:
    return {remark.what: remark.count for remark in joins.reading.remarks}


def test_reading__counts_rows_joins_and_repeats(tmp_path: Path) -> None:
    got = _read(tmp_path, ["a,x,1", "a,x,2", "a,x,1", "b,y,1"]).reading
    assert (got.rows, got.joins, got.repeats, got.users, got.groups) == (4, 2, 2, 2, 2)
    assert got.lines()[0].startswith("4 rows, 2 joins: 2 rows repeat")


def test_reading__is_silent_on_an_ordinary_log(tmp_path: Path) -> None:
    assert _read(tmp_path, [f"u{k},g{k % 3},{k}" for k in range(30)]).reading.lines() == []


def test_reading__points_out_names_that_stand_for_none(tmp_path: Path) -> None:
    rows = [f"NA,g{k},1" for k in range(9)] + [f"u{k},g0,1" for k in range(30)]
    assert _kinds(_read(tmp_path, rows)) == {"user_name_for_none": 9}


def test_reading__points_out_names_that_differ_by_case_or_spaces(tmp_path: Path) -> None:
    rows = ["a,Tech,1", "b,tech,1", "c,TECH,2", "d, Art,1", "e,Art,1", "f,Chess,1"]
    joins = _read(tmp_path, rows)
    assert _kinds(joins) == {"group_names_alike": 5}
    assert joins.reading.lines() == [
        "5 group names differ from another by case or spaces alone, such as ' Art' and 'Art'"
    ]


def test_reading__points_out_a_lone_time_and_a_very_active_user(tmp_path: Path) -> None:
    rows = [f"u{k:02},g{k % 5},2023-{k % 10 + 1:02}-15" for k in range(60)]
    assert _kinds(_read(tmp_path, [*rows, "x,g1,1970-01-01"])) == {"lone_early_times": 1}
    assert _kinds(_read(tmp_path, [*rows, "x,g1,2199-01-01"])) == {"lone_late_times": 1}
    bot = [f"bot,h{k},2023-05-01" for k in range(11)]
    assert _kinds(_read(tmp_path, rows + bot)) == {"very_active_users": 1}
    assert _kinds(_read(tmp_path, rows + bot[:10])) == {}


@pytest.mark.parametrize("clock", ["", " 00:00:05"], ids=["days", "seconds"])
def test_reading__points_out_dates_without_a_day_beside_exact_ones(
    tmp_path: Path, clock: str
) -> None:
    def dated(*dates: str) -> dict[str, int]:
        rows = [f"u{k:03},g{k % 5},{date}{clock}" for k, date in enumerate(dates)]
        return _kinds(_read(tmp_path, rows))

    exact = [f"{2010 + k % 9}-{k % 12 + 1:02}-{k % 27 + 2:02}" for k in range(75)]
    years = [f"{2010 + k % 9}-01-01" for k in range(25)]
    months = [f"{2010 + k % 9}-{k % 12 + 1:02}-01" for k in range(50)]
    assert dated(*exact, *years) == {"mixed_dates_year": 25}
    assert dated(*exact, *months) == {"mixed_dates_month": 50}
    # Everything by the year, or hardly anything.
    assert dated(*years) == dated(*exact, *years[:8]) == dated(*exact) == {}


@pytest.mark.parametrize(
    ("form", "rows", "tick", "first"),
    [
        ("yyyymmdd", ["a,x,20231231", "b,x,20240101"], "day", "2023-12-31"),
        ("epoch_s", ["a,x,1704067200", "b,x,1704067201"], "second", "2024-01-01 00:00:00Z"),
        ("epoch_ms", ["a,x,1704067200000", "b,x,1704067201999"], "second", "2024-01-01 00:00:00Z"),
    ],
)
def test_reading__says_what_times_look_like_and_reads_them_when_asked(
    tmp_path: Path, form: str, rows: list[str], tick: str, first: str
) -> None:
    assert _kinds(_read(tmp_path, rows)) == {f"times_like_{form}": 2}
    joins = _read(tmp_path, rows, time_format=form)
    assert (joins.tick, joins.span) == (tick, (0, 1))
    assert joins.when([0]).cast(pa.string())[0].as_py() == first
    assert joins.reading.lines() == []


@pytest.mark.parametrize(
    ("row", "form", "said"),
    [
        ("a,x,20230230", "yyyymmdd", "must hold dates written YYYYMMDD; got 20230230 in data row"),
        ("a,x,2023-02-03", "epoch_s", "must hold integers, to be read as epoch_s; got a date"),
        ("a,x,1", "days", "time_format must be one of auto, yyyymmdd, epoch_s, epoch_ms"),
    ],
)
def test_read__refuses_times_of_another_form(
    tmp_path: Path, row: str, form: str, said: str
) -> None:
    with pytest.raises(LogError, match=said):
        _read(tmp_path, [row], time_format=form)


def test_reading_with__counts_target_joins_in_the_tick_of_another_group(tmp_path: Path) -> None:
    rows = ["a,x,1", "a,T,1", "b,T,1", "b,U,1", "c,T,2", "c,U,2", "c,x,2", "d,x,1", "d,T,2"]
    joins = _read(tmp_path, rows)
    (tied,) = reading_with(joins, named_targets(joins, ["T", "U"])).remarks
    # Of a and c; b's two tie with each other alone, and d's comes later.
    assert (tied.what, tied.count) == ("target_joins_tied", 3)
    assert tied.text is not None
    assert tied.text.startswith("3 of 6 target joins are in the same tick as")


def test_detect__imports_no_sweep_without_memory() -> None:
    code = (
        "import sys; from gateway.cli.own_logs import options_for_parts as o;"
        "import gateway.cli.run_and_show, gateway.cli.own_logs;"
        "assert o(None, engine='serial', scheduler=None, workers=None, threads=None) is None;"
        "print([name for name in sys.modules if name.startswith('gateway.sweep')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
