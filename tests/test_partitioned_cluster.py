"""A mapped log whose parts are added up by a Dask cluster: the same bits, whoever is lost."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.detect import DETECTORS, Detection, detect
from gateway.errors import GatewayError
from gateway.log import invariants
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.work import HERE, Kept, Work, Workers, over_parts, working
from gateway.score import LogisticScorer, score_joins
from gateway.sweep import EngineOptions, SweepStoppedError
from gateway.targets import TargetSet, named_targets
from tests.clusters import Cluster
from tests.worlds import linked_log

pytest.importorskip("distributed", reason="the extra [dask] is not installed")

from distributed import Client

from gateway.sweep.cluster_parts import cluster_workers

# A cluster of processes: they compile what they need.
pytestmark = pytest.mark.compiled

MEMORY = 2**26
NUMBERS = count()
# One fit of the self-controlled equations: each of its evaluations asks every worker.
OPTIONS = {
    "edges": {},
    "coefficient": {"min_joiners": 1, "penalty": 10.0},
    "spike": {"min_joiners": 1, "min_spiking": 1},
    "self_controlled": {"min_joiners": 1, "surrogates": "none", "prior": "none",
                        "depletion": "none", "risk_window": 0},
}  # fmt: skip
# What is asked for once a part; what is trained, and fitted, where the rows are kept.
KILLED = ("order", "spike", "self_controlled")
PLACES = ("mapped", "1 worker", "2 workers", "4 workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A converted log."""
    place = tmp_path_factory.mktemp("log")
    joins = linked_log(3, users=400, groups=30, days=200)
    rng, n = np.random.default_rng(4), joins.n_joins
    seeds = pa.array(np.where(rng.random(n) < 0.3, rng.integers(0, 30, n), -1))
    names = joins.groups.take(pc.if_else(pc.less(seeds, 0), None, seeds))
    table = joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    pq.write_table(table.append_column("seed_group", names), place / "log.parquet")
    (place / "parts").mkdir()
    convert_log(place / "log.parquet", place / "parts", memory=MEMORY)
    return place / "parts"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch) -> None:
    """Some ten parts to the log."""
    monkeypatch.setattr(invariants, "JOINS_PER_PART", 240)


class Clusters:
    """A cluster that grows: each process takes seconds to start."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack, self._count = folder, ExitStack(), 0

    def close(self) -> None:
        self._stack.close()
        self._count = 0

    def of(self, count: int) -> Cluster:
        """One of so many workers."""
        if not 0 < self._count <= count:
            self.close()
            place = self._folder / f"cluster-{next(NUMBERS)}"
            place.mkdir()
            self.cluster = Cluster(place, self._stack)
        for k in range(self._count, count):
            self.cluster.add_worker(f"worker-{k}")
        self._count = count
        with Client(self.cluster.address) as client:
            client.wait_for_workers(count, timeout=60)
        return self.cluster

    def victim(self) -> subprocess.Popen[bytes]:
        """A worker beside at least one that stays."""
        cluster = self.of(max(self._count, 1))
        added = cluster.add_worker(f"victim-{next(NUMBERS)}")
        with Client(cluster.address) as client:
            client.wait_for_workers(self._count + 1, timeout=60)
        return added


@pytest.fixture(scope="module")
def clusters(tmp_path_factory) -> Iterator[Clusters]:
    made = Clusters(tmp_path_factory.mktemp("clusters"))
    yield made
    made.close()


@pytest.fixture
def cluster(clusters) -> Cluster:
    return clusters.of(1)


@pytest.fixture
def victim(clusters) -> Iterator[subprocess.Popen[bytes]]:
    added = clusters.victim()
    yield added
    added.kill()
    added.wait()


@pytest.fixture(scope="module")
def expected(folder) -> Callable[[str], dict[str, bytes]]:
    """What each detector finds in the same log in memory."""
    joins = JoinLog.read(folder.parent / "log.parquet")

    @cache
    def by_name(name: str) -> dict[str, bytes]:
        return bits(found_by(HERE, joins, name))

    return by_name


def options(cluster: Cluster) -> EngineOptions:
    return EngineOptions("dask", scheduler=cluster.address)


def opened(folder: Path) -> tuple[JoinLog, TargetSet]:
    log = JoinLog.open(folder)
    return log, targets_of(log)


def targets_of(log: JoinLog) -> TargetSet:
    return named_targets(log, ["g0000000", "g0000001", "g0000002"])


def found_by(workers: Workers, log: JoinLog, name: str) -> Detection:
    options, targets = OPTIONS.get(name, {"min_joiners": 1}), targets_of(log)
    with working(Work(workers)):
        if name in {"spike", "matching"}:
            few = LogisticScorer(penalty=10.0, tolerance=1e-4)
            options = {**options, "scores": score_joins(log, targets, scorer=few, folds=2)}
        return detect(log, targets, detector=name, **options)


def bits(found: Detection) -> dict[str, bytes]:
    values = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    values |= values.pop("extra")
    return {k: v.tobytes() for k, v in values.items() if isinstance(v, np.ndarray)}


class Murderous:
    """Workers one of whom is killed after some results, or answers in the middle of a fit."""

    def __init__(
        self, workers: Workers, victim: subprocess.Popen[bytes], after: int, *, fits: bool = False
    ) -> None:
        self._workers, self._victim, self.left, self._fits = workers, victim, after, fits
        self.count = workers.count

    def map(self, function: Callable, units: Iterable[tuple]) -> Iterator:
        found = self._workers.map(function, units)
        return found if self._fits else self.counted(found)

    def keep(self, build: Callable, units: Iterable[tuple]) -> Kept:
        return KeptByMurderous(self, self._workers.keep(build, units))

    def counted(self, results: Iterator) -> Iterator:
        for found in results:
            self.left -= 1
            if self.left == 0:
                self._victim.send_signal(signal.SIGKILL)
            yield found


class KeptByMurderous:
    """States that are held by those workers."""

    def __init__(self, workers: Murderous, kept: Kept) -> None:
        self._workers, self._kept = workers, kept

    def ask(self, function: Callable, *given: object) -> Iterator:
        return self._workers.counted(self._kept.ask(function, *given))


def usual(name: str, place: str) -> bool:
    """What `make test` does; `make verify` does the others: an answer takes milliseconds."""
    return place == "2 workers" and name in KILLED


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, marks=() if usual(name, place) else pytest.mark.slow)
        for name in DETECTORS
        for place in PLACES
    ],
)
def test_detect__is_the_same_bits_wherever_the_log_lies(
    folder, expected, clusters, name, place
) -> None:
    log = JoinLog.open(folder)
    if place == "mapped":
        got = found_by(HERE, log, name)
    else:
        n = int(place.split()[0])
        with cluster_workers(options(clusters.of(n))) as workers:
            assert workers.count == n
            got = found_by(workers, log, name)
    assert got.rank.any()
    assert bits(got) == expected(name)
    assert len(list(log.parts())) > 8


@pytest.mark.parametrize(
    "name",
    [name if name in KILLED else pytest.param(name, marks=pytest.mark.slow) for name in DETECTORS],
)
def test_detect__is_the_same_bits_with_a_worker_killed(
    folder, expected, clusters, victim, name
) -> None:
    fits = name in {"spike", "self_controlled"}
    with cluster_workers(options(clusters.cluster)) as workers:
        before = workers.count
        murderous = Murderous(workers, victim, after=20 if fits else 3, fits=fits)
        got = found_by(murderous, JoinLog.open(folder), name)
        deadline = time.monotonic() + 30
        while workers.count == before and murderous.left <= 0 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the scheduler has seen it
        assert workers.count == before - (murderous.left <= 0)
    assert bits(got) == expected(name)
    # These ask no worker.
    assert murderous.left <= 0 or name in {"coefficient", "hitting", "markov_removal", "survival"}


def test_detect__says_that_the_scheduler_is_lost(folder, tmp_path) -> None:
    with ExitStack() as stack:
        doomed = Cluster(tmp_path, stack)
        doomed.add_worker("one")
        rule = f"the scheduler at {doomed.address} is gone"
        workers = stack.enter_context(cluster_workers(options(doomed)))
        with pytest.raises(SweepStoppedError, match=rule):
            found_by(Murderous(workers, doomed.scheduler, after=3), JoinLog.open(folder), "order")


def test_workers__refuse_a_folder_that_holds_another_log(folder, cluster, tmp_path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    with cluster_workers(options(cluster)) as workers:
        log, targets = opened(other)
        manifest = other / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"rows": ', '"rows": 1'))
        with working(Work(workers)), pytest.raises(GatewayError, match="on a disk that all of"):
            detect(log, targets, detector="order")


def _whole(_piece: object) -> None:
    raise RuntimeError("a fault of ours")


def test_workers__pass_on_what_goes_wrong(folder, cluster) -> None:
    with (
        cluster_workers(options(cluster)) as workers,
        working(Work(workers)),
        pytest.raises(RuntimeError, match="a fault of ours"),
    ):
        list(over_parts(opened(folder)[0], _whole))


def _run(folder: Path, out: Path, *more: str) -> Exception | None:
    command = ["detect", str(folder), "--target", "g0000000", "--target", "g0000001",
               "--detector", "spike", "--detector", "order", "--out", str(out)]  # fmt: skip
    return CliRunner().invoke(app, [*command, *more]).exception


@pytest.mark.slow
def test_command__gives_the_same_tables_with_any_number_of_workers(folder, tmp_path) -> None:
    assert _run(folder, tmp_path / "0", "--memory", "64MiB") is None
    expected = (tmp_path / "0" / "gateways.parquet").read_bytes()
    for n in ("1", "3"):
        more = ("--memory", "64MiB", "--engine", "dask", "--workers", n)
        assert _run(folder, tmp_path / n, *more) is None
        assert (tmp_path / n / "gateways.parquet").read_bytes() == expected


class _Lost:
    """Workers whose scheduler is gone by the time they are asked."""

    count = 1

    def map(self, _function: Callable, _units: Iterable[tuple]) -> Iterator:
        raise SweepStoppedError("the scheduler at tcp://x:1 is gone")


def test_command__that_loses_the_scheduler_says_so_and_leaves_nothing(
    folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(
        "gateway.sweep.cluster_parts.cluster_workers", lambda _: nullcontext(_Lost())
    )
    command = ["detect", str(folder), "--target", "g0000000", "--detector", "order", "--out",
               str(tmp_path / "out"), "--memory", "64MiB", "--engine", "dask"]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "the scheduler at tcp://x:1 is gone" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--engine", "dask"], "--engine goes with --memory alone"),
        (["--memory", "64MiB", "--engine", "processes"], "--engine must be serial or dask"),
        (["--memory", "64MiB", "--workers", "2"], "--workers goes with --engine dask alone"),
        (["--memory", "64MiB", "--scheduler", "tcp://x:1"], "--scheduler goes with --engine dask"),
    ],
)
def test_command__refuses_options_that_do_not_go_together(folder, tmp_path, more, rule) -> None:
    raised = _run(folder, tmp_path / "out", *more)
    assert isinstance(raised, GatewayError)
    assert rule in str(raised)
    assert not (tmp_path / "out").exists()
