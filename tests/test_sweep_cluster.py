"""Sweeps on a real cluster: a Dask scheduler and two workers, processes of their own."""

from __future__ import annotations

import hashlib
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway._numba import processor_features
from gateway.provenance import arithmetic
from gateway.results import SweepFolder
from gateway.sweep import EngineOptions, read_plan, run_sweep
from gateway.sweep.running import TINY
from tests.clusters import ENVIRONMENT, Cluster

pytest.importorskip("distributed", reason="the extra [dask] is not installed")

from gateway.sweep.cluster_worker import report_versions

# Whole runs: minutes as plain Python.
pytestmark = pytest.mark.compiled

TABLES = ("points", "evaluation", "summary")
OVER = """
[sweep]
replicates = 3
[sweep.over]
"world.roles.influence_strength" = [0.5, 1.0]
"""
N_POINTS = 6


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_sweep(read_plan(write(folder)), folder=folder / "s", options=EngineOptions("serial"))
    return folder / "s"


def write(folder: Path) -> Path:
    path = folder / "swept.toml"
    path.write_text(TINY + OVER)
    return path


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *map(str, words)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip


def sweep(cluster: Cluster) -> subprocess.Popen[str]:
    write(cluster.folder)
    return start("sweep", "swept.toml", "--engine", "dask", "--scheduler", cluster.address,
                 "--out", "s", cwd=cluster.folder)  # fmt: skip


def ended(running: subprocess.Popen[str], code: int) -> str:
    _, stderr = running.communicate(timeout=400)
    assert running.returncode == code, stderr
    assert "Traceback" not in stderr
    return stderr


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


def events(folder: Path, event: str) -> list[dict]:
    return [dict(e) for e in SweepFolder(folder).history() if e["event"] == event]


def wait_for(folder: Path, event: str, count: int, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while len(events(folder, event)) < count:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_cluster__that_loses_a_worker_finishes_with_the_same_tables(cluster, undisturbed) -> None:
    first = cluster.add_worker("one")
    cluster.add_worker("two")
    running = sweep(cluster)
    folder = cluster.folder / "s"
    wait_for(folder, "finished", 2, running)
    assert len({e["worker"] for e in events(folder, "started")}) == 2
    first.send_signal(signal.SIGKILL)
    ended(running, 0)
    assert tables(folder) == tables(undisturbed)
    n_lost = len(events(folder, "lost"))
    assert n_lost <= 1  # none, where it was between two points
    assert len(events(folder, "started")) == N_POINTS + n_lost
    assert len(events(folder, "finished")) == N_POINTS


@pytest.mark.slow
def test_cluster__whose_scheduler_is_lost_is_said_and_resumed_elsewhere(
    cluster, undisturbed
) -> None:
    cluster.add_worker("one")
    cluster.add_worker("two")
    running = sweep(cluster)
    folder = cluster.folder / "s"
    wait_for(folder, "finished", 2, running)
    cluster.scheduler.send_signal(signal.SIGKILL)
    stderr = ended(running, 1)
    assert f"the scheduler at {cluster.address} is gone" in stderr
    assert "gateway resume s" in stderr
    plan = read_plan(cluster.folder / "swept.toml")
    missing = [p.key for p in plan.points if not SweepFolder(folder).is_done(p.key)]
    assert 0 < len(missing) <= N_POINTS - 2
    before = len(events(folder, "started"))
    ended(start("resume", folder, cwd=cluster.folder), 0)
    assert sorted(e["point"] for e in events(folder, "started")[before:]) == sorted(missing)
    assert tables(folder) == tables(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preload", "says"),
    [
        ("import gateway.provenance as p\np.MODEL_VERSION = 999", "must have model"),
        (
            "import sys\nsys.modules['gateway'] = None",
            "must be able to import gateway with its extra",
        ),
        ("import distributed\ndistributed.__version__ = '1.0'", "must have distributed"),
        # Another processor rounds some sums otherwise.
        ("import gateway.sweep.cluster_worker as w\nw.cpu_name = lambda: 'another'", "processor"),
    ],
    ids=["model", "no gateway", "distributed", "processor"],
)
def test_cluster__with_other_versions_is_refused(cluster, preload, says) -> None:
    (cluster.folder / "preload.py").write_text(preload)
    cluster.add_worker("odd", "--preload", cluster.folder / "preload.py")
    stderr = ended(sweep(cluster), 2)
    assert says in stderr
    assert "not known" not in stderr


@pytest.mark.slow
def test_cluster__whose_libraries_round_otherwise_is_refused(cluster) -> None:
    cluster.add_worker("odd", OPENBLAS_CORETYPE="Nehalem")
    stderr = ended(sweep(cluster), 2)
    assert re.search(r"must have processor .*BLAS .*as here; got .*BLAS Nehalem", stderr)


def test_versions__of_workers_say_in_what_their_arithmetic_differs() -> None:
    if "x86" not in platform.machine():
        pytest.skip("these are the names of parts of x86 processors")
    code = (
        "from gateway._numba import processor_features; from gateway.provenance import arithmetic\n"
        "print(arithmetic(), processor_features(), sep='; ')"
    )
    other = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
             "NUMBA_CPU_NAME": "generic"}  # fmt: skip
    got = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True, capture_output=True, text=True, env=ENVIRONMENT | other,
    ).stdout  # fmt: skip
    here = f"{arithmetic()}; {processor_features()}"
    parts = zip(got.split("; "), here.split("; "), strict=True)
    assert [one != other for one, other in parts] == [True, True, True]
    features = hashlib.sha256(processor_features().encode()).hexdigest()[:8]
    assert report_versions()["processor"].endswith(f"features {features}, {arithmetic()}")


# Dask runs a preload twice.
OTHER = """
import distributed.node as node
from distributed.versions import get_versions

def other(*a, **k):
    found = get_versions(*a, **k)
    found['packages']['distributed'] = '1.0'
    return found

node.get_versions = other
"""
MUTE = """
import distributed.node as node

def broken(*a, **k):
    raise RuntimeError("no such question")

node.get_versions = broken
"""


@pytest.mark.slow
@pytest.mark.parametrize("preload", [OTHER, MUTE], ids=["other", "mute"])
def test_scheduler__of_another_version_is_refused(tmp_path, preload) -> None:
    """Over the real handshake; a scheduler that cannot answer it is as good as another one."""
    (tmp_path / "preload.py").write_text(preload)
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, stack, "--preload", tmp_path / "preload.py")
        cluster.add_worker("one")
        assert "the scheduler must have distributed" in ended(sweep(cluster), 2)


@pytest.mark.slow
def test_cluster__without_workers_is_refused(cluster) -> None:
    assert "has no worker" in ended(sweep(cluster), 2)


@pytest.mark.slow
def test_scheduler__that_is_not_there_is_said(tmp_path) -> None:
    write(tmp_path)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        running = start("sweep", "swept.toml", "--engine", "dask", "--scheduler", address,
                        "--out", "s", cwd=tmp_path)  # fmt: skip
        assert "--scheduler cannot be reached" in ended(running, 2)
