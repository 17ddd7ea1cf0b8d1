"""Durations mean the same in Python, in a config and on the command line."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import gateway
from gateway.errors import GatewayError, LogError
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.times import Tick, ticks_in
from gateway.score import score_joins
from tests.worlds import first_groups, random_log

DAY = 86_400


@pytest.mark.parametrize(
    ("duration", "tick", "expected"),
    [
        ("180d", "day", 180),
        ("180d", "second", 180 * DAY),
        ("12h", "second", 12 * 3_600),
        (timedelta(days=180), "day", 180),
        (timedelta(hours=12), "second", 12 * 3_600),
        (180, "day", 180),
        (np.int64(180), "integer", 180),
        ("180", "integer", 180),
    ],
)
def test_ticks_in__takes_text_timedelta_and_numbers(
    duration: object, tick: Tick, expected: int
) -> None:
    assert ticks_in(duration, tick, what="horizon") == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("duration", "tick", "said"),
    [
        (180, "second", "horizon: the duration '180' must have a unit in a log of seconds, "
         "such as 180d for days or 180s for seconds"),
        ("12h", "day", "must be in one of d, w in a log of days; got 'h'"),
        (timedelta(hours=12), "day", "must be a whole number of days"),
        (timedelta(days=1), "integer", "must be a bare number"),
        (timedelta(days=-1), "day", "must be a whole number and a unit"),
        (0, "day", "must come to 1 to 2,147,483,647 ticks; got 0"),
        (True, "day", "must be a duration such as '180d', a timedelta or a whole number"),
        (1.5, "day", "got 1.5"),
    ],
)  # fmt: skip
def test_ticks_in__says_what_is_wrong(duration: object, tick: Tick, said: str) -> None:
    with pytest.raises(LogError, match=re.escape(said)):
        ticks_in(duration, tick, what="horizon")  # type: ignore[arg-type]


def _in_seconds(joins: JoinLog) -> JoinLog:
    """The same joins at noon, in a log of seconds."""
    table = joins.to_arrow().replace_schema_metadata(None)
    seconds = table["time"].cast(pa.int64()).to_numpy() * DAY + DAY // 2
    time = pa.array(seconds).cast(pa.timestamp("s", "UTC"))
    return JoinLog.from_dataframe(pa.table([table["user"], table["group"], time], names=[
        "user", "group", "time"]))  # fmt: skip


@pytest.mark.parametrize("detector", ["spike", "frequentist"])
def test_detect__a_horizon_means_the_same_in_days_and_in_seconds(detector: str) -> None:
    days = random_log(seed=3)
    seconds = _in_seconds(days)
    assert seconds.tick == "second"
    forms = [(days, 10), (seconds, "10d"), (seconds, "240h"), (seconds, timedelta(days=10))]
    least = {"min_joiners": 1} | ({"min_spiking": 1} if detector == "spike" else {})
    found = [
        gateway.detect(log, first_groups(log, 2), detector=detector, horizon=horizon, **least)
        for log, horizon in forms
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.score, found[0].score)
    with pytest.raises(GatewayError, match="such as 10d"):
        gateway.detect(seconds, first_groups(seconds, 2), detector=detector, horizon=10)
    with pytest.raises(GatewayError, match="such as 10d"):
        score_joins(seconds, first_groups(seconds, 2), horizon=10)


def test_self_controlled__windows_are_durations_too() -> None:
    days = random_log(seed=3)
    seconds = _in_seconds(days)
    common = {"detector": "self_controlled", "surrogates": "none", "min_joiners": 1}
    expected = gateway.detect(days, first_groups(days, 2), risk_window=5, **common)
    for risk in ("5d", "120h", timedelta(days=5)):
        got = gateway.detect(seconds, first_groups(seconds, 2), risk_window=risk, **common)
        assert got.to_arrow().equals(expected.to_arrow())
    with pytest.raises(GatewayError, match=r"self_controlled\.risk_window: .* such as 5d"):
        gateway.detect(seconds, first_groups(seconds, 2), risk_window=5, **common)


MIDNIGHTS = "user,group,time\n" + "".join(
    f"u{k},g{k % 3},2024-01-{k % 28 + 1:02}T00:00:00Z\n" for k in range(40)
)


def test_read__timestamps_that_are_all_midnights_are_days(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(MIDNIGHTS)
    joins = JoinLog.read(path)
    assert (joins.tick, joins.span) == ("day", (0, 27))
    assert str(joins.when([0])[0]) == "2024-01-01"
    table = joins.to_arrow().replace_schema_metadata(None)
    stamps = table.set_column(2, "time", table["time"].cast(pa.timestamp("us")))
    pa.parquet.write_table(stamps, tmp_path / "log.parquet")
    assert JoinLog.read(tmp_path / "log.parquet").equals(joins)
    assert JoinLog.from_dataframe(stamps).equals(joins)
    (tmp_path / "parts").mkdir()
    made = convert_log(path, tmp_path / "parts", memory=2**30)
    assert (made.tick, made.origin, made.last) == ("day", 19_723, 27)
    assert JoinLog.read(tmp_path / "parts").equals(joins)
    path.write_text(MIDNIGHTS + "u1,g2,2024-01-03T00:00:01Z\n")
    assert JoinLog.read(path).tick == "second"
