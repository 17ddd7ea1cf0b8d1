"""Every detector finds the same on a log that is mapped as on the same log in memory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.detect import DETECTORS, Detection, detect
from gateway.errors import GatewayError, LogError
from gateway.log import invariants, work
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.work import Work, over_parts, working
from gateway.targets import TargetSet, check_learnable, named_targets
from tests.workers import Posting
from tests.worlds import linked_log

ROOT = Path(__file__).parents[1]
MEMORY = 2**26


def _converted(joins: JoinLog, folder: Path) -> Path:
    """Convert a log whose rows stand in any order."""
    folder.mkdir(parents=True)
    joins.to_parquet(folder / "log.parquet")
    table = pq.read_table(folder / "log.parquet")
    order = pa.array(np.random.default_rng(0).permutation(len(table)))
    pq.write_table(table.take(order), folder / "log.parquet")
    (folder / "parts").mkdir()
    convert_log(folder / "log.parquet", folder / "parts", memory=MEMORY)
    return folder / "parts"


def _plain() -> JoinLog:
    """A log of three columns."""
    joins = linked_log(3, users=400, groups=30, days=200)
    table = joins.to_arrow().select(["user", "group", "time"])
    return JoinLog.from_dataframe(table.replace_schema_metadata(None))


def _windowed() -> JoinLog:
    """A log with windows, and with users without a join."""
    linked = linked_log(3, users=400, groups=30, days=200)
    first = np.append(np.minimum.reduceat(linked.time, linked.offsets[:-1]), [0, 3])
    return JoinLog.from_arrays(
        linked.user(), linked.group, linked.time, groups=linked.groups.to_pylist(),
        users=[*linked.users.to_pylist(), "nobody", "u0000001 again"],
        observed_from=first // 2, observed_until=200 + np.arange(len(first)) % 30,
    )  # fmt: skip


def _traced() -> JoinLog:
    """A log with a seed and an inviter for every third join."""
    joins = linked_log(3, users=400, groups=30, days=200)
    rng, n = np.random.default_rng(4), joins.n_joins
    told = rng.random(n) < 0.3
    return JoinLog.from_arrays(
        joins.user(), joins.group, joins.time, users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(),
        seed_group=np.where(told, rng.integers(0, 30, n), -1),
        inviter=np.where(rng.random(n) < 0.3, rng.integers(0, joins.n_users, n), -1),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[_plain, _windowed, _traced],
                ids=["plain", "windowed", "traced"])  # fmt: skip
def logs(request, tmp_path_factory) -> tuple[JoinLog, JoinLog]:
    """A log in memory, and the same one mapped."""
    joins = request.param()
    mapped = JoinLog.open(_converted(joins, tmp_path_factory.mktemp("log") / "log"))
    assert mapped.equals(joins)
    return joins, mapped


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Some forty parts to a log of a test."""
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 60)


def _targets(joins: JoinLog) -> TargetSet:
    return named_targets(joins, joins.groups.to_pylist()[:3])


def _bits(found: Detection) -> dict[str, bytes]:
    values = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    values |= values.pop("extra")
    return {k: v.tobytes() for k, v in values.items() if isinstance(v, np.ndarray)}


CASES = [
    *((name, {}) for name in DETECTORS),
    ("frequentist", {"horizon": 40}),
    ("spike", {"horizon": 40, "rule": "own_history", "threshold": 1.0}),
    ("self_controlled", {"clock": "calendar", "surrogates": "none"}),
    ("self_controlled", {"risk_window": 30}),
]


@pytest.mark.compiled
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("name", "options"), CASES)
def test_detect__is_the_same_bits_on_a_mapped_log_and_by_workers(logs, name, options) -> None:
    if (name == "edges") == (logs[0].seed_group is None):
        pytest.skip("traces are for the detector of traces alone")
    options = options | {"min_joiners": 1} | ({"min_spiking": 1} if name == "spike" else {})
    targets = _targets(logs[0])
    expected, got = (detect(joins, targets, detector=name, **options) for joins in logs)
    assert expected.rank.any()
    assert _bits(got) == _bits(expected)
    with working(Work(Posting(3))):
        got = detect(logs[1], targets, detector=name, **options)
    assert _bits(got) == _bits(expected)


@pytest.mark.parametrize("name", ["frequentist", "order"])
def test_detect__counts_the_same_in_many_parts_as_in_one(logs, monkeypatch, name) -> None:
    joins, _ = logs
    expected = detect(joins, _targets(joins), detector=name, min_joiners=1)
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 60)
    assert len(list(joins.parts())) > 20
    got = detect(joins, _targets(joins), detector=name, min_joiners=1)
    assert got.n_joiners.tolist() == expected.n_joiners.tolist()
    assert got.n_events.tolist() == expected.n_events.tolist()
    # Expected counts are sums of fractions, in another order.
    np.testing.assert_allclose(got.score, expected.score, rtol=1e-12)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("place", [0, 1], ids=["memory", "mapped"])
def test_check_learnable__counts_over_all_parts(logs, tmp_path, place) -> None:
    check_learnable(logs[place], _targets(logs[place]))
    lonely = JoinLog.from_arrays(["a", "b", "c"], ["t", "x", "y"], [1, 2, 3])
    if place:
        lonely = JoinLog.open(_converted(lonely, tmp_path / "lonely"))
    with pytest.raises(LogError, match="one user does"):
        check_learnable(lonely, named_targets(lonely, "t"))


@pytest.mark.usefixtures("small_parts")
def test_over_parts__asks_every_part_in_order(logs) -> None:
    for joins in logs:
        asked = list(over_parts(joins, _first_user))
        assert asked == sorted(asked)
        assert len(asked) > 20


def _first_user(part: JoinLog) -> str:
    return str(part.users[0])


# Memory ----------------------------------------------------------------------------------

_MEASURE = """
import sys, threading, time
from pathlib import Path
import gateway.cli.run_and_show
from gateway.detect import detect
from gateway.log.join_log import JoinLog
from gateway.log.work import Work, working
from gateway.targets import check_learnable, named_targets

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

def watch():
    while True:
        most[0] = max(most[0], held())
        time.sleep(0.002)

PLAIN = {"surrogates": "none", "prior": "none"}
# Without these, one fit; with them, the same for every window that it tries.
ONCE = PLAIN | {"depletion": "none", "risk_window": 0}
OPTIONS = {"self_controlled": PLAIN, "self_controlled once": ONCE}
most = [0.0]
threading.Thread(target=watch, daemon=True).start()
for folder, targets in ((sys.argv[1], range(3)), (sys.argv[2], range(3_000, 3_030))):
    most[0] = start = held()
    log = JoinLog.open(folder)
    chosen = named_targets(log, [f"g{k:07}" for k in targets])
    check_learnable(log, chosen)
    with working(Work(memory=2**26)):
        detect(log, chosen, detector="coefficient", penalty=10.0)
    for name in sys.argv[3:]:
        detect(log, chosen, detector=name.split()[0], **OPTIONS.get(name, {}))
print(most[0] - start, log.n_joins)
"""


def _large(folder: Path, *, n: int) -> Path:
    """A log whose columns alone take far more than what is allowed."""
    rng = np.random.default_rng(4)
    names = pa.array([f"{'a long name of a user, ' * 5}{k:07}" for k in range(50_000)])
    groups = pa.array([f"g{k:07}" for k in range(5_000)])
    table = pa.table(
        {
            "user": names.take(rng.integers(0, len(names), n)),
            "group": groups.take(rng.zipf(1.2, n) % len(groups)),
            "time": rng.integers(0, 10**8, n),
        }
    )
    folder.mkdir()
    pq.write_table(table, folder / "log.parquet")
    (folder / "parts").mkdir()
    convert_log(folder / "log.parquet", folder / "parts", memory=2 * MEMORY)
    return folder / "parts"


@pytest.mark.compiled
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what is held")
@pytest.mark.parametrize(
    "names",
    [
        ("frequentist", "order", "self_controlled once"),
        pytest.param(("self_controlled",), marks=pytest.mark.slow),
    ],
    ids=["each", "every window"],
)
def test_detect__keeps_to_its_memory_on_a_log_four_times_as_large(tmp_path, names) -> None:
    """What is held beside the mapped pages, which the system takes back where it must.

    Two million rows as text take more than four times what is allowed.
    """
    small, large = _converted(_plain(), tmp_path / "small"), _large(tmp_path / "large", n=2_000_000)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(small), str(large), *names],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    held, joins = map(float, done.stdout.split())
    assert joins > 1_000_000
    assert held < MEMORY / 2**20


@pytest.mark.parametrize("name", ["coefficient", "self_controlled"])
def test_detect__is_the_same_bits_where_columns_lie_in_files(logs, monkeypatch, name) -> None:
    """What takes more than a share of the memory is mapped: here everything is."""
    options = {"penalty": 10.0} if name == "coefficient" else {"surrogates": "none"}
    whole, mapped = logs
    expected = detect(whole, _targets(whole), detector=name, **options)
    made = []
    new_file = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: made.append(1) or new_file(**how))
    monkeypatch.setattr(work, "_LARGE", 0.0)
    with working(Work(memory=2**30)):
        got = detect(mapped, _targets(mapped), detector=name, **options)
    assert got.to_arrow().equals(expected.to_arrow())
    assert len(made) > 5


def test_self_controlled__refuses_cases_too_many_for_the_memory(logs) -> None:
    for joins in logs:
        with working(Work(memory=2**25 + 1)), pytest.raises(LogError, match="users with an event"):
            detect(joins, _targets(joins), detector="self_controlled", surrogates="none")


# The command -----------------------------------------------------------------------------


def _detect(log: Path, out: Path, *more: str) -> None:
    command = ["detect", str(log), "--out", str(out), "--target", "g0000000", "--target",
               "g0000001", "--detector", "frequentist", "--detector", "matching",
               "--detector", "self_controlled", *more]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception


@pytest.mark.compiled
@pytest.mark.usefixtures("undrawn")
def test_command__gives_the_tables_of_the_log_in_memory(tmp_path) -> None:
    folder = _converted(_plain(), tmp_path / "log")
    _detect(folder.parent / "log.parquet", tmp_path / "whole")
    _detect(folder, tmp_path / "mapped")
    _detect(folder, tmp_path / "bounded", "--memory", "64MiB")
    for path in (tmp_path / "whole").rglob("*.parquet"):
        if path.name != "summary.parquet":
            for other in ("mapped", "bounded"):
                got = tmp_path / other / path.relative_to(tmp_path / "whole")
                assert got.read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--memory", "lots", "--detector", "order"], "such as 2GiB"),
        (["--memory", "2GiB", "--detector", "order", "--user-column", "who"], "columns are user"),
    ],
)
def test_command__refuses_what_cannot_be_done(tmp_path, more, rule) -> None:
    folder = _converted(_plain(), tmp_path / "log")
    command = ["detect", str(folder), "--out", str(tmp_path / "out"), "--target", "g0000000", *more]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, GatewayError)
    assert rule in str(done.exception)
    assert not (tmp_path / "out").exists()
