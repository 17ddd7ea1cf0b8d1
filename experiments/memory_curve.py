"""Memory of a run on a log that stays on disk, against the size of the log.

For each size: a synthetic log (Parquet, rows in no order) is converted, three counting
detectors and ``spike`` run on its parts, and the same in memory. Each in a process of its
own, which first does the same on a small log; what is measured is resident memory beyond
that, sampled, all of it and without pages of files, which the system takes back when
somebody else needs them.

Usage: python experiments/memory_curve.py [--rows 250000 500000 ...] [--memory 104MiB]
    [--out results/out_of_core]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.cost_figures import draw_memory_curve
from gateway.detect import detect
from gateway.figures import csv_bytes, render
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.work import parse_size
from gateway.provenance import describe_environment
from gateway.targets import named_targets

ROWS = (250_000, 750_000, 3_000_000)
COUNTING = ("frequentist", "order")
WORK = ("convert", "counts", "spike", "in memory")
TARGETS = range(200, 230)
# Names of 122 and 8 bytes, their offsets, and the time: a row of the log as an Arrow table.
BYTES_PER_ROW = 122 + 4 + 8 + 4 + 8


def main() -> None:
    """Measure every size and write table, trace and figure; or one piece of work, for itself."""
    options = _options()
    if options.work is not None:
        sys.stdout.write(json.dumps(_measured(options)) + "\n")
        return
    rows, trace = [], []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        small = _write_log(Path(folder) / "small", 40_000)
        for n in options.rows:
            log = _write_log(Path(folder) / str(n), n)
            for work in WORK:
                found = _in_child(work, log, small, options.memory)
                trace = [*trace, *({"work": work, "rows": n, **point} for point in
                                   found.pop("trace"))]  # fmt: skip
                rows.append({"work": work, "rows": n, **found})
                sys.stdout.write(f"{rows[-1]}\n")
    _store(Path(options.out), pa.Table.from_pylist(rows), pa.Table.from_pylist(trace), options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--memory", default="104MiB")
    parser.add_argument("--out", default="results/out_of_core")
    parser.add_argument("--scratch", default=None, help="folder for the logs")
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--small", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_log(folder: Path, rows: int) -> Path:
    """Write a log of long names: what a table of it takes is mostly text."""
    rng = np.random.default_rng(4)
    folder.mkdir()
    n_users = max(rows // 25, 100)
    names = np.array([f"{'a long name of a user, ' * 5}{k:07}" for k in range(n_users)])
    groups = np.array([f"g{k:07}" for k in range(2_000)])
    schema = pa.schema([("user", pa.string()), ("group", pa.string()), ("time", pa.int64())])
    with pq.ParquetWriter(folder / "log.parquet", schema) as writer:
        for start in range(0, rows, 100_000):
            n = min(100_000, rows - start)
            columns = [names[rng.integers(0, n_users, n)],
                       groups[rng.zipf(1.2, n) % len(groups)],
                       rng.integers(0, 10**8, n)]  # fmt: skip
            writer.write_table(pa.table(columns, schema=schema))
    return folder


def _in_child(work: str, log: Path, small: Path, memory: str) -> dict:
    words = [sys.executable, __file__, "--work", work, "--log", log, "--small", small,
             "--memory", memory]  # fmt: skip
    done = subprocess.run(  # noqa: S603  (this file)
        list(map(str, words)), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measured(options: argparse.Namespace) -> dict:
    """Do a piece of work on the small log, then, watched, on the large one."""
    memory = parse_size(options.memory)
    _do(options.work, options.small, memory)
    watch = _Watch()
    begun, cpu = time.monotonic(), time.process_time()
    with watch:
        _do(options.work, options.log, memory)
    table = pq.ParquetFile(options.log / "log.parquet").metadata
    return {
        "log_mib": round(table.num_rows * BYTES_PER_ROW / 2**20, 1),
        "allowed_mib": round(memory / 2**20, 1),
        "peak_mib": round(max(watch.resident) - watch.resident[0], 1),
        "anonymous_mib": round(max(watch.anonymous) - watch.anonymous[0], 1),
        "seconds": round(time.monotonic() - begun, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "trace": watch.trace(),
    }


def _do(work: str, folder: Path, memory: int) -> None:
    parts = folder / "parts"
    if work == "convert":
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        convert_log(folder / "log.parquet", parts, memory=memory)
        return
    joins = JoinLog.read(folder / "log.parquet" if work == "in memory" else parts)
    targets = named_targets(joins, [f"g{k:07}" for k in TARGETS])
    for detector in ("spike",) if work == "spike" else COUNTING:
        detect(joins, targets, detector=detector)
    if work == "in memory":
        detect(joins, targets)


class _Watch:
    """Samples the resident memory of this process while a block lasts, in MiB."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.resident: list[float] = []
        self.anonymous: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        while not self.at:
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def trace(self) -> list[dict]:
        """Return some hundred points."""
        step = max(len(self.at) // 100, 1)
        points = zip(self.at, self.resident, self.anonymous, strict=True)
        return [
            {"second": round(t - self.at[0], 2), "resident_mib": round(r - self.resident[0], 1),
             "anonymous_mib": round(a - self.anonymous[0], 1)}
            for t, r, a in list(points)[::step]
        ]  # fmt: skip

    def _sample(self) -> None:
        while not self._done.is_set():
            lines = Path("/proc/self/status").read_text().splitlines()
            kib = dict(line.split(":", 1) for line in lines)
            self.at.append(time.monotonic())
            self.resident.append(int(kib["VmRSS"].split()[0]) / 1024)
            self.anonymous.append(int(kib["RssAnon"].split()[0]) / 1024)
            self._done.wait(0.02)


def _store(out: Path, table: pa.Table, trace: pa.Table, options: argparse.Namespace) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory_curve.csv").write_bytes(csv_bytes(table))
    (out / "memory_trace.csv").write_bytes(csv_bytes(trace))
    for kind, data in render(draw_memory_curve(table, trace)).items():
        if kind == "png":
            (out / f"memory_curve.{kind}").write_bytes(data)
    made = {"rows": options.rows, "memory": options.memory, **describe_environment()}
    (out / "provenance.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
