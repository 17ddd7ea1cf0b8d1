"""Fits shared by workers of a Dask cluster: time, bytes over the scheduler's line, and faults.

Scheduler, workers and a bridge each live in a network namespace of Linux, joined by pairs of
virtual Ethernet devices; the scheduler's line has the bandwidth that is asked for (token
buckets of `tc`, both ways). Latency needs the kernel's `netem`, which not every kernel has: it
is tried, and what cannot be set is said. What goes over the scheduler's line is what its device
counts, Dask's own talk included. Needs Linux, root, and `ip` and `tc` of iproute2.

`measure` converts a log drawn at random, and fits it by this process alone with one thread and
with all, and by each number of workers: the classifier's weights (`train`) and the joint
self-controlled fit. Every answer must be the same bits. `faults` kills a worker, and then the
scheduler, while a fit is under way. Rows are written to DIR/cluster.csv and printed.

Run: python experiments/cluster.py measure [--joins 3000000] [--groups 5000] [--workers 1 2 4]
       [--rates none 1gbit 100mbit] [--latency 2ms] [--out DIR]
     python experiments/cluster.py faults
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.stages import PENALTY, Size, convert_size, draw_to
from experiments.synthetic import targets_of
from gateway._numba import set_threads
from gateway.detect.self_controlled.fit import fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood
from gateway.detect.self_controlled.slots import build_slots
from gateway.log.join_log import JoinLog
from gateway.log.work import HERE, Work, Workers, working
from gateway.score import LogisticScorer, build_prefixes
from gateway.sweep import EngineOptions, SweepStoppedError
from gateway.targets import named_targets

ROOT = Path(__file__).absolute().parents[1]
ADDRESS, PORT = "10.99.0.", 8786
BRIDGE, SCHEDULER = "gw-bridge", "gw-scheduler"
COLUMNS = ("fit", "joins", "groups", "workers", "threads", "rate", "latency", "evaluations",
           "setup_seconds", "fit_seconds", "mib", "bytes_per_evaluation", "digest")  # fmt: skip
# Takes a log, and gives a fit: its evaluations and the bytes of its answer.
Fit = Callable[[JoinLog], Callable[[], tuple[int, bytes]]]


def train(log: JoinLog) -> Callable[[], tuple[int, bytes]]:
    """Rows are laid out; workers pack theirs in the fit, and keep them."""
    rows = build_prefixes(log, _targets(log))

    def fit() -> tuple[int, bytes]:
        model = LogisticScorer(penalty=PENALTY).fit(rows, np.ones(rows.n_users, bool))
        return model.evaluations, model.weights.tobytes()

    return fit


def self_controlled(log: JoinLog) -> Callable[[], tuple[int, bytes]]:
    """Cases are cut into slots, which workers keep; then the joint fit."""
    mask = _targets(log).mask
    likelihood = Likelihood(build_slots(log, mask, ~mask))

    def fit() -> tuple[int, bytes]:
        found = fit_joint(likelihood, penalty=PENALTY)
        return found.evaluations, found.point.beta.tobytes()

    return fit


FITS: dict[str, Fit] = {"train": train, "self-controlled": self_controlled}


def _targets(log: JoinLog) -> Any:
    wanted = {str(g) for g in np.flatnonzero(targets_of(log.n_groups).mask)}
    return named_targets(log, sorted(wanted.intersection(log.groups.to_pylist())))


def run(name: str, log: JoinLog) -> dict[str, Any]:
    """Fit once unmeasured, for kernels to load wherever they run, then once measured."""
    for _ in range(2):
        begun, before = time.perf_counter(), sent()
        fit = FITS[name](log)
        ready = time.perf_counter()
        evaluations, answer = fit()
        done, after = time.perf_counter(), sent()
    digest = _digest(answer)
    return {"setup_seconds": ready - begun, "fit_seconds": done - ready, "digest": digest,
            "evaluations": evaluations, "mib": (after - before) / 2**20,
            "bytes_per_evaluation": (after - before) / evaluations}  # fmt: skip


def _digest(answer: bytes) -> str:
    return hashlib.sha256(answer).hexdigest()[:12]


def sent() -> int:
    """Bytes over this namespace's line so far, to and fro; none where there is no such line."""
    folder = Path("/sys/class/net/line/statistics")
    counters = (folder / name for name in ("rx_bytes", "tx_bytes"))
    return sum(int(path.read_text()) for path in counters if path.exists())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def ip(*words: object) -> None:
    """Call ``ip`` or, with that as its first word, ``tc``."""
    call = ["tc", *words[1:]] if words[0] == "tc" else ["ip", *words]
    subprocess.run([str(word) for word in call], check=True)  # noqa: S603


@contextmanager
def network(workers: int, rate: str, latency: str) -> Iterator[None]:
    """Hold the namespaces while the block lasts: a star around a bridge."""
    names = [SCHEDULER, *(f"gw-worker{k}" for k in range(workers))]
    try:
        ip("netns", "add", BRIDGE)
        ip("-n", BRIDGE, "link", "add", "bridge", "type", "bridge")
        ip("-n", BRIDGE, "link", "set", "bridge", "up")
        for k, name in enumerate(names):
            ip("netns", "add", name)
            ip("-n", BRIDGE, "link", "add", f"to{k}", "type", "veth", "peer", "line", "netns", name)
            ip("-n", BRIDGE, "link", "set", f"to{k}", "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"{ADDRESS}{k + 1}/24", "dev", "line")
            for device in ("line", "lo"):
                ip("-n", name, "link", "set", device, "up")
        for space, device in ((SCHEDULER, "line"), (BRIDGE, "to0")):
            shape(space, device, rate, latency)
        yield
    finally:
        for name in [BRIDGE, *names]:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607


def shape(space: str, device: str, rate: str, latency: str) -> None:
    """Let a device send at a rate, each packet after a delay."""
    add = ("tc", "-n", space, "qdisc", "add", "dev", device)
    parent: tuple[str, ...] = ("root",)
    if latency != "none":
        try:
            ip(*add, "root", "handle", "1:", "netem", "delay", latency, "limit", 100_000)
        except subprocess.CalledProcessError:
            raise SystemExit("--latency needs a kernel with netem, which this one lacks") from None
        parent = ("parent", "1:1")
    if rate != "none":
        ip(*add, *parent, "tbf", "rate", rate, "burst", "1mb", "latency", "200ms")


@contextmanager
def process(space: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in a namespace while the block lasts, with one thread."""
    call = ["ip", "netns", "exec", space, sys.executable, *map(str, words)]
    running = subprocess.Popen(call, env=_environment(), stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def cluster(
    workers: int, rate: str, latency: str, folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Hold a scheduler and workers while the block lasts; gives their processes, in this order."""
    with ExitStack() as stack:
        stack.enter_context(network(workers, rate, latency))
        dask = ("-m", "dask")
        quiet = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        words = ("scheduler", "--host", f"{ADDRESS}1", "--port", PORT, *quiet)
        held = [stack.enter_context(process(SCHEDULER, *dask, *words))]
        for k in range(workers):
            words = ("worker", f"tcp://{ADDRESS}1:{PORT}", "--no-nanny", "--nthreads", 1,
                     "--host", f"{ADDRESS}{k + 2}", "--local-directory", folder / f"worker{k}",
                     *quiet)  # fmt: skip
            held.append(stack.enter_context(process(f"gw-worker{k}", *dask, *words)))
        yield held


@contextmanager
def connected(workers: int) -> Iterator[Workers]:
    """Give the workers of the cluster in this namespace, when all are there."""
    from gateway.sweep.cluster_parts import cluster_workers  # noqa: PLC0415  (an extra)

    options = EngineOptions("dask", None, 1, f"tcp://{ADDRESS}1:{PORT}")
    deadline = time.monotonic() + 60
    while True:
        with ExitStack() as stack:
            try:
                found = stack.enter_context(cluster_workers(options))
            except Exception:
                if time.monotonic() > deadline:
                    raise
                continue
            while found.count < workers and time.monotonic() < deadline:
                time.sleep(0.2)
            yield found
            return


def inside(folder: Path, workers: int, threads: int) -> None:
    """Print a line of JSON for each fit: by this process alone, or by workers."""
    set_threads(threads)
    log = JoinLog.open(folder)
    with ExitStack() as stack:
        by = HERE if workers == 0 else stack.enter_context(connected(workers))
        stack.enter_context(working(Work(workers=by)))
        for name in FITS:
            print(json.dumps({"fit": name, "workers": workers, "threads": threads,
                              "joins": log.n_joins, "groups": log.n_groups, **run(name, log)}),
                  flush=True)  # fmt: skip


def ask(space: str | None, folder: Path, workers: int, threads: int) -> list[dict[str, Any]]:
    """Run ``inside`` in a process of its own, in a namespace where one is named."""
    call = [sys.executable, __file__, "inside", str(folder), str(workers), str(threads)]
    call = call if space is None else ["ip", "netns", "exec", space, *call]
    done = subprocess.run(  # noqa: S603
        call, check=True, stdout=subprocess.PIPE, text=True, env=_environment()
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure(options: argparse.Namespace) -> None:
    """Measure every number of workers at every rate; the same bits everywhere."""
    rows: list[dict[str, Any]] = []
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = converted(options.joins, options.groups, Path(name))
        cores = os.cpu_count() or 1
        for threads in sorted({1, cores}):
            rows += add(rows, ask(None, folder, 0, threads), options, "none")
        for rate in options.rates:
            for workers in options.workers:
                with cluster(workers, rate, options.latency, Path(name)):
                    rows += add(rows, ask(SCHEDULER, folder, workers, 1), options, rate)
    for fit in FITS:
        digests = {row["digest"] for row in rows if row["fit"] == fit}
        print(f"{fit}: {'the same bits everywhere' if len(digests) == 1 else 'BITS DIFFER'}")


def add(
    before: list[dict[str, Any]], new: list[dict[str, Any]], options: argparse.Namespace, rate: str
) -> list[dict[str, Any]]:
    """Print new rows, and write all so far."""
    new = [{**row, "rate": rate, "latency": options.latency} for row in new]
    for row in new:
        print(row, flush=True)
    with (options.out / "cluster.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(before + new)
    return new


def converted(joins: int, groups: int, folder: Path) -> Path:
    """Draw a log and convert it; in a process of its own, whose memory is gone then."""
    size = Size(joins // 10, groups, joins, folder / "drawn")
    draw_to(size)
    return convert_size(size)


def faults(options: argparse.Namespace) -> None:
    """Lose a worker, then the scheduler, in mid-fit."""
    with tempfile.TemporaryDirectory() as name:
        folder = converted(options.joins, options.groups, Path(name))
        whole = {row["fit"]: row["digest"] for row in ask(None, folder, 0, 1)}
        for fit in FITS:
            for lost in ("worker", "scheduler"):
                with cluster(2, "none", "none", Path(name)) as held:
                    victim = held[0 if lost == "scheduler" else 1].pid
                    call = ["ip", "netns", "exec", SCHEDULER, sys.executable, __file__, "bereaved",
                            str(folder), fit, str(victim)]  # fmt: skip
                    done = subprocess.run(  # noqa: S603
                        call, text=True, capture_output=True, check=False, env=_environment()
                    )  # fmt: skip
                said = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]
                same = "the same bits" if said == whole[fit] else said
                print(f"{fit}, the {lost} killed in mid-fit: {same}", flush=True)


def bereaved(folder: Path, fit: str, victim: int) -> None:
    """Fit thrice, a process killed in the middle of the last; print the digest, or what is said."""
    log = JoinLog.open(folder)
    try:
        with connected(2) as by, working(Work(workers=by)):
            for _ in range(2):
                begun = time.perf_counter()
                FITS[fit](log)()
                took = time.perf_counter() - begun
            timer = threading.Timer(0.7 * took, os.kill, (victim, signal.SIGKILL))
            timer.start()
            _, answer = FITS[fit](log)()
            if timer.is_alive():
                print("the fit ended first")
                return
            print(_digest(answer))
    except SweepStoppedError as error:
        print(f"stopped: {error}")


def main() -> None:
    """Do what the first word says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["measure", "faults", "inside", "bereaved"])
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--joins", type=int, default=3_000_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rates", nargs="+", default=["none", "1gbit", "100mbit"])
    parser.add_argument("--latency", default="none")
    parser.add_argument("--out", type=Path, default=Path("results/cluster"))
    options = parser.parse_args()
    if options.what == "measure":
        measure(options)
    elif options.what == "faults":
        faults(options)
    elif options.what == "inside":
        folder, workers, threads = options.words
        inside(Path(folder), int(workers), int(threads))
    else:
        folder, fit, victim = options.words
        bereaved(Path(folder), fit, int(victim))


if __name__ == "__main__":
    main()
