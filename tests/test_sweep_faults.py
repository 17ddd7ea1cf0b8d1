"""Sweeps that are killed, starved, stuck or doubled, and what is left of them.

Every test does the thing. Afterwards resuming it runs exactly the missing points,
by the execution log, and the tables are those of an undisturbed sweep, byte for byte.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.errors import GatewayError, ResultError
from gateway.results import SweepFolder
from gateway.results.ownership import hold_draft
from gateway.sweep import EngineOptions, folder_status, read_plan, run_sweep
from gateway.sweep.running import TINY

# Whole runs: minutes as plain Python.
pytestmark = pytest.mark.compiled

ROOT = Path(__file__).parents[1]
TABLES = ("points", "evaluation", "summary")
OVER = """
[sweep]
replicates = 3
[sweep.over]
"world.roles.influence_strength" = [0.5, 1.0]
"""
N_POINTS = 6
# A world that takes minutes, next to points that take a second.
ENDLESS = OVER.replace("replicates = 3", "time_limit = 15").replace(
    '"world.roles.influence_strength" = [0.5, 1.0]', '"world.users" = [400, 3_000_000, 500]'
)
# No group has so many strikes: no targets, no detection.
POISON = OVER.replace("replicates = 3", "replicates = 1").replace(
    '"world.roles.influence_strength" = [0.5, 1.0]', '"targets.min_strikes" = [1, 1_000_000, 2]'
)


# One engine always, the others with `make verify`: each takes its time to start.
ENGINES = [
    "processes",
    pytest.param("serial", marks=pytest.mark.slow),
    pytest.param("dask", marks=pytest.mark.slow),
]


def gateway(*words, cwd: Path) -> subprocess.CompletedProcess[str]:
    with start(*words, cwd=cwd) as running:
        stdout, stderr = running.communicate(timeout=400)
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(words, running.returncode, stdout, stderr)


def start(*words, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *map(str, words)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def write(folder: Path, over: str = OVER) -> Path:
    path = folder / "swept.toml"
    path.write_text(TINY + over)
    return path


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


def events(folder: Path, event: str) -> list[str]:
    return [e["point"] for e in SweepFolder(folder).history() if e["event"] == event]


def wait_for(folder: Path, event: str, count: int, running: subprocess.Popen[str]) -> None:
    """Wait until so many events are in the log, while the sweep runs."""
    deadline = time.monotonic() + 300
    while len(events(folder, event)) < count:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The sweep that nothing happened to, one point after the other."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_sweep(read_plan(write(folder)), folder=folder / "s", options=EngineOptions("serial"))
    return folder / "s"


def resumed(folder: Path, engine: str = "serial") -> list[str]:
    """Resume, and return the points that were begun for it."""
    n_before = len(events(folder, "started"))
    done = CliRunner().invoke(app, ["resume", str(folder), "--engine", engine])
    assert done.exit_code == 0, done.output
    return events(folder, "started")[n_before:]


def missing(folder: Path) -> set[str]:
    plan = read_plan(folder.parent / "swept.toml")
    return {point.key for point in plan.points if not SweepFolder(folder).is_done(point.key)}


def assert_clean(folder: Path) -> None:
    """Nothing half done is left in a sweep's folder."""
    assert [path.name for path in folder.rglob(".*")] == []


# Without any fault ------------------------------------------------------------------------


@pytest.mark.slow
def test_dask__gives_the_tables_of_the_serial_engine(undisturbed, tmp_path) -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    write(tmp_path)
    done = gateway("sweep", "swept.toml", "--engine", "dask", "--workers", 2, "--out", "s",
                   cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "s") == tables(undisturbed)
    assert_clean(tmp_path / "s")


def test_dry_run__runs_nothing(tmp_path) -> None:
    words = ["sweep", str(write(tmp_path)), "--dry-run", "--out", str(tmp_path / "s")]
    points = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["points"]
    assert len(points) == N_POINTS
    assert {point["state"] for point in points} == {"missing"}
    assert not (tmp_path / "s").exists()
    assert points[-1]["key"] in CliRunner().invoke(app, words).stdout


# Kills ------------------------------------------------------------------------------------


def test_worker__that_is_killed_costs_its_one_point(undisturbed, tmp_path) -> None:
    write(tmp_path)
    running = start("sweep", "swept.toml", "--workers", 2, "--out", "s", cwd=tmp_path)
    wait_for(tmp_path / "s", "started", 3, running)
    begun = [e for e in SweepFolder(tmp_path / "s").history() if e["event"] == "started"]
    time.sleep(0.2)  # into the point, so that a draft is left
    os.kill(begun[-1]["pid"], signal.SIGKILL)
    _, stderr = running.communicate(timeout=400)
    assert running.returncode == 0, stderr
    lost = events(tmp_path / "s", "lost")
    assert len(lost) <= 1  # none, where the worker had just answered
    assert len(events(tmp_path / "s", "started")) == N_POINTS + len(lost)
    assert tables(tmp_path / "s") == tables(undisturbed)
    assert_clean(tmp_path / "s")


@pytest.mark.parametrize("engine", ["processes", pytest.param("serial", marks=pytest.mark.slow)])
def test_driver__that_is_killed_is_resumed(undisturbed, tmp_path, engine) -> None:
    write(tmp_path)
    folder = tmp_path / "s"
    options = ["--engine", engine]
    running = start("sweep", "swept.toml", *options, "--out", "s", cwd=tmp_path)
    wait_for(folder, "finished", 3, running)
    running.kill()
    running.communicate()
    # What stood when it died; a worker may still put its point in place, or not.
    stood = set(events(folder, "finished"))
    deadline = time.monotonic() + 30
    while SweepFolder(folder).is_busy:
        assert time.monotonic() < deadline, "a worker outlives its sweep"
        time.sleep(0.05)
    expected = missing(folder)
    assert 0 < len(expected) <= N_POINTS - len(stood)
    assert folder_status(folder).state == "incomplete"
    got = resumed(folder, engine)
    assert sorted(got) == sorted(expected)
    assert tables(folder) == tables(undisturbed)
    assert_clean(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_driver__that_is_told_to_stop_leaves_no_worker(undisturbed, tmp_path, name, code) -> None:
    write(tmp_path)
    folder = tmp_path / "s"
    running = start("sweep", "swept.toml", "--workers", 2, "--out", "s", cwd=tmp_path)
    wait_for(folder, "finished", 1, running)
    running.send_signal(getattr(signal, name))
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == code, stderr
    assert "Traceback" not in stderr
    assert not SweepFolder(folder).is_busy
    expected = missing(folder)
    assert sorted(resumed(folder)) == sorted(expected)
    assert tables(folder) == tables(undisturbed)


# Points that fail -------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_poison__the_other_points_finish_and_the_failure_is_kept(tmp_path, engine) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    plan = read_plan(write(tmp_path, POISON))
    done = gateway("sweep", "swept.toml", "--engine", engine, "--out", "s", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    folder, key = tmp_path / "s", plan.points[1].key
    assert missing(folder) == {key}
    failure = folder / "failed" / key
    assert "Error" in (failure / "traceback.txt").read_text()
    assert "simulating joins" in (failure / "log.txt").read_text()
    assert "1000000" in (failure / "config.toml").read_text()
    reason = json.loads((failure / "status.json").read_text())["reason"]
    assert "target" in reason
    got = folder_status(folder)
    assert (got.state, got.n_done, got.n_failed) == ("failed", 2, 1)
    before = tables(folder)
    # It is tried again, and alone; nothing else changes.
    n_before = len(events(folder, "started"))
    again = CliRunner().invoke(app, ["resume", str(folder), "--engine", "serial"])
    assert again.exit_code == 3
    assert events(folder, "started")[n_before:] == [key]
    assert tables(folder) == before


@pytest.mark.slow
def test_hanging_point__is_ended_at_its_limit_and_says_where_it_hung(tmp_path) -> None:
    plan = read_plan(write(tmp_path, ENDLESS))
    done = gateway("sweep", "swept.toml", "--workers", 1, "--out", "s", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    folder, key = tmp_path / "s", plan.points[1].key
    assert missing(folder) == {key}
    failure = folder / "failed" / key
    status = json.loads((failure / "status.json").read_text())
    assert status["reason"] == "exceeded the time limit of 15 s"
    assert "Thread 0x" in (failure / "traceback.txt").read_text()
    assert "..." in (failure / "log.txt").read_text().splitlines()[-1]
    assert not SweepFolder(folder).is_busy


@pytest.mark.slow
def test_time_limit__of_the_serial_engine(tmp_path) -> None:
    plan = read_plan(write(tmp_path, ENDLESS))
    outcome = run_sweep(plan, folder=tmp_path / "s", options=EngineOptions("serial"))
    assert (outcome.n_done, outcome.n_failed) == (2, 1)
    reason = SweepFolder(tmp_path / "s").failures()[plan.points[1].key]
    assert reason == "exceeded the time limit of 15 s"


# Disks ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_full_disk__stops_the_sweep_which_goes_on_when_there_is_room(
    undisturbed, small_disk, engine
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    write(small_disk)
    folder = small_disk / "s"
    options = ["--engine", engine]
    done = gateway("sweep", "swept.toml", *options, "--out", "s", cwd=small_disk)
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert len(missing(folder)) > 0
    assert len(missing(folder)) < N_POINTS
    assert SweepFolder(folder).failures() == {}
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    expected = missing(folder)
    assert sorted(resumed(folder)) == sorted(expected)
    assert tables(folder) == tables(undisturbed)
    assert_clean(folder)


def test_damage__is_found_and_only_the_damaged_points_are_computed(undisturbed, tmp_path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(undisturbed, folder)
    keys = [point.key for point in read_plan(write(tmp_path)).points]
    truncate(folder / "points" / keys[0] / "evaluation.parquet")
    truncate(folder / "points" / keys[1] / "status.json")
    (folder / "points" / keys[2] / "summary.parquet").unlink()
    (folder / "points" / keys[3] / "status.json").unlink()
    truncate(folder / "execution.jsonl")
    truncate(folder / "points.parquet")
    truncate(folder / "evaluation.parquet")
    # What dead processes leave.
    (folder / ".summary.parquet.a1b2c3d4.partial").write_bytes(b"PAR1")
    draft = folder / "points" / f".{keys[4]}.x7f4abcd.draft"
    draft.mkdir()
    with hold_draft(draft):
        (draft / "evaluation.parquet").write_bytes(b"")
    (folder / "points" / f".{keys[5]}.x7g4abcd.old").mkdir()
    (folder / "points" / "0123456789abcdef").mkdir()
    assert sorted(resumed(folder)) == sorted(keys[:4])
    assert tables(folder) == tables(undisturbed)
    assert_clean(folder)
    assert {path.name for path in (folder / "points").iterdir()} == set(keys)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_read_only_folder__is_said(tmp_path) -> None:
    words = ["sweep", str(write(tmp_path)), "--out", "/proc/nowhere/s"]
    with pytest.raises(GatewayError, match="cannot write to /proc/nowhere/s"):
        app(words, standalone_mode=False)


# Two at once ------------------------------------------------------------------------------


def test_second_sweep__on_the_same_folder_is_refused(undisturbed, tmp_path) -> None:
    """And the first gives the tables of the serial engine."""
    plan = read_plan(write(tmp_path))
    folder = tmp_path / "s"
    first = start("sweep", "swept.toml", "--workers", 2, "--out", "s", "--json", cwd=tmp_path)
    wait_for(folder, "started", 1, first)
    os.kill(first.pid, signal.SIGSTOP)  # so that it is not done before the others have looked
    try:
        watched = folder_status(folder)
        with pytest.raises(ResultError, match=f"is being swept by process {first.pid} on"):
            run_sweep(plan, folder=folder, options=EngineOptions("processes"))
    finally:
        os.kill(first.pid, signal.SIGCONT)
    stdout, stderr = first.communicate(timeout=400)
    assert first.returncode == 0, stderr
    assert json.loads(stdout)["computed"] == N_POINTS
    assert tables(folder) == tables(undisturbed)
    assert_clean(folder)
    assert len(events(folder, "started")) == N_POINTS
    assert (watched.state, watched.n_points, watched.n_failed) == ("running", N_POINTS, 0)


@pytest.mark.slow
def test_status_watch__ends_with_the_sweep_and_shows_who_works(tmp_path) -> None:
    write(tmp_path)
    folder = tmp_path / "s"
    running = start("sweep", "swept.toml", "--workers", 1, "--out", "s", cwd=tmp_path)
    wait_for(folder, "finished", 1, running)
    watched = gateway("status", folder, "--watch", "--json", cwd=tmp_path)
    running.communicate(timeout=400)
    seen = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [s["state"] for s in seen[:1] + seen[-1:]] == ["running", "done"]
    assert [s["n_done"] for s in seen] == sorted(s["n_done"] for s in seen)
    at_work = [point for s in seen for point in s["running"]]
    assert at_work
    assert all(point["memory_mib"] is None or point["memory_mib"] > 20 for point in at_work)
    for s in seen:
        parts = s["n_done"] + s["n_failed"] + s["n_running"] + s["n_pending"]
        assert parts == s["n_points"] == N_POINTS


@pytest.mark.slow
def test_tables__can_be_read_at_any_time(tmp_path) -> None:
    import pyarrow.parquet as pq

    write(tmp_path)
    folder = tmp_path / "s"
    running = start("sweep", "swept.toml", "--workers", 2, "--out", "s", cwd=tmp_path)
    counts = []
    while running.poll() is None:
        if (folder / "evaluation.parquet").exists():
            states = pq.read_table(folder / "points.parquet")["state"].to_pylist()
            assert pq.read_table(folder / "evaluation.parquet").num_rows > 0
            counts.append(states.count("done"))
        time.sleep(0.02)
    running.communicate()
    assert counts == sorted(counts)
    assert counts[0] < N_POINTS
