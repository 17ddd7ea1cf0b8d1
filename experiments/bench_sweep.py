"""What a sweep costs beside a bare loop over the same points.

Every engine computes few and many tiny points, in a fresh process each time, the engines in
turn. The slope over the number of points is the cost of a point, the rest is the start:
interpreter, imports, workers. CPU seconds of all processes, user and system; a busy machine
disturbs them less than the clock.

    python experiments/bench_sweep.py [--few 2] [--many 12] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gateway.sweep.running import TINY

BARE = """
import sys
from gateway.config import parse_config
from gateway.pipeline import execute
text = open(sys.argv[1], encoding="utf-8").read().partition("[sweep]")[0]
for i in range(int(sys.argv[2])):
    config = parse_config(text, overrides=[f"experiment.seed={5 + i}"])
    execute(config, folder=f"{sys.argv[3]}/{i}", keep=("evaluation", "summary"))
"""
ENGINES = {
    "bare loop": (),
    "serial": ("--engine", "serial"),
    "processes, 1 worker": ("--engine", "processes", "--workers", "1"),
    "processes, 2 workers": ("--engine", "processes", "--workers", "2"),
    "dask, 1 worker": ("--engine", "dask", "--workers", "1"),
    "dask, 2 workers": ("--engine", "dask", "--workers", "2"),
}


def command(engine: str, config: Path, n_points: int, folder: Path) -> list[str]:
    """The words that compute so many points."""
    if engine == "bare loop":
        return [sys.executable, "-c", BARE, str(config), str(n_points), str(folder)]
    sweep = [sys.executable, "-m", "gateway", "sweep", str(config), "--out", str(folder)]
    return [*sweep, "--set", f"sweep.replicates={n_points}", *ENGINES[engine]]


def measure(engine: str, config: Path, n_points: int) -> tuple[float, float]:
    """CPU and wall seconds of all processes of a sweep."""
    with tempfile.TemporaryDirectory() as scratch:
        words = command(engine, config, n_points, Path(scratch) / "s")
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                       "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
        subprocess.run(words, check=True, capture_output=True, env=environment)  # noqa: S603
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--many", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tiny.toml"
        over = '[sweep]\n[sweep.over]\n"world.roles.influence_strength" = [1.0]\n'
        config.write_text(TINY + over, encoding="utf-8")
        measure("processes, 1 worker", config, 1)  # compiles what is not compiled yet
        rounds = [
            {
                engine: (measure(engine, config, options.few),
                         measure(engine, config, options.many))
                for engine in ENGINES
            }
            for _ in range(options.rounds)
        ]  # fmt: skip
    span = options.many - options.few
    slopes = {
        engine: [(many[0] - few[0]) / span for few, many in (r[engine] for r in rounds)]
        for engine in ENGINES
    }
    print("engine | CPU s per point | against the bare loop | CPU s to start | wall s, all points")
    for engine in ENGINES:
        ratio = statistics.median(
            a / b for a, b in zip(slopes[engine], slopes["bare loop"], strict=True)
        )
        slope = statistics.median(slopes[engine])
        start = statistics.median(r[engine][0][0] for r in rounds) - options.few * slope
        wall = statistics.median(r[engine][1][1] for r in rounds)
        print(f"{engine} | {slope:.3f} | {ratio:.2f} | {start:.1f} | {wall:.1f}")


if __name__ == "__main__":
    main()
