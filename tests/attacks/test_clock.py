"""A clock that is set while things are done: nothing but what is said of times changes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import pytest

import gateway
from gateway.results import Lock, SweepFolder, writing
from gateway.sweep import folder_status, status
from tests.attacks.killed import Sweep

PACKAGE = Path(gateway.__file__).parent
NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=3653)


def test_wall_clock__is_asked_only_where_a_time_is_said() -> None:
    """Locks, patience, leases and progress go by a clock that nobody sets."""
    asks = re.compile(r"time\.time\(|\.now\(|utcnow|today\(|gmtime|localtime")
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
             if asks.search(path.read_text())}  # fmt: skip
    assert found == {"pipeline.py", "results/writing.py", "sweep/status.py"}


@pytest.fixture
def jumping(monkeypatch):
    """Let the clock say these times in turn, over and over."""

    def jump(*times: datetime) -> None:
        said = cycle(times)

        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):  # noqa: ARG003  (as of datetime)
                return next(said)

        for module in (writing, status):
            monkeypatch.setattr(module, "datetime", Clock)

    return jump


def test_sweep__under_a_jumping_clock_has_the_same_tables(tmp_path, jumping) -> None:
    jumping(NOW, NOW + YEARS, NOW - YEARS, NOW - 5 * YEARS)
    it = Sweep()
    (tmp_path / "a").mkdir()
    it.before(tmp_path / "a")
    it.act(tmp_path / "a")
    # It compares with one beside it.
    it.after(tmp_path / "a")
    assert folder_status(tmp_path / "a" / "s").n_failed == 1


@pytest.mark.parametrize(
    ("began", "ended", "asked", "left"),
    [
        (0, 10, 12, 8.0),  # as it should be: a point in ten seconds, of which two are over
        (0, 10, -3600, None),
        (0, -3600, 12, None),
        (0, -3600, -7200, None),
        (0, 10, 10**8, 0.0),
    ],
)
def test_status__under_a_clock_that_was_set_says_no_nonsense(
    tmp_path, jumping, began, ended, asked, left
) -> None:
    it = Sweep()
    it.before(tmp_path)
    it.act(tmp_path)
    place = SweepFolder(tmp_path / "s")
    keys = sorted(path.name for path in place.path.glob("points/*"))
    place.drop_point(keys[1])
    jumping(*(NOW + timedelta(seconds=s) for s in (began, began, ended, began)))
    journal = place.journal()
    journal.write("sweep_started", points=3, missing=2)
    journal.write("started", point=keys[0], worker="pid 1", pid=1)
    journal.write("finished", point=keys[0], seconds=10.0)
    journal.write("started", point=keys[1], worker="pid 1", pid=1)
    jumping(NOW + timedelta(seconds=asked))
    lock = Lock(place.path / "lock")
    try:
        got = folder_status(place.path)
    finally:
        lock.release()
    assert (got.state, got.n_running, got.seconds_left) == ("running", 1, left)
    assert got.running[0].seconds == max(0.0, asked)
