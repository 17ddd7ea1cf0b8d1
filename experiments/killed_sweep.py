"""A phase diagram of tiny worlds, killed twice and resumed, beside one left in peace.

Gateway strength x homophily look-alikes x seeds. The driver is killed (SIGKILL) after a
third of the points and again after two thirds; each time ``gateway resume`` goes on. Then
the same sweep runs undisturbed elsewhere, and the tables are compared byte for byte.

    python experiments/killed_sweep.py [--engine processes] [--replicates 8]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from gateway.results import SweepFolder
from gateway.sweep import read_plan
from gateway.sweep.running import TINY

OVER = """
[sweep.over]
"world.roles.influence_strength" = { low = 0.25, high = 3.0, points = 7 }
"world.roles.homophily" = [0, 4, 8, 12]
[sweep]
replicates = """
TABLES = ("points", "evaluation", "summary")


def started(folder: Path) -> list[str]:
    """Points in the order in which they were begun."""
    return [e["point"] for e in SweepFolder(folder).history() if e["event"] == "started"]


def finished(folder: Path) -> int:
    """How many points have been finished so far."""
    return sum(e["event"] == "finished" for e in SweepFolder(folder).history())


def kill_after(count: int, words: list[str], folder: Path) -> None:
    """Run a command and kill it once so many points are finished."""
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # noqa: S603  (our own)
    while finished(folder) < count and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    running.wait()


def main() -> None:
    """Print what was lost and whether the tables are the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--engine", default="processes")
    parser.add_argument("--replicates", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "phase.toml"
        config.write_text(f"{TINY}{OVER}{options.replicates}\n", encoding="utf-8")
        n_points = len(read_plan(config).points)
        disturbed, quiet = Path(scratch) / "killed", Path(scratch) / "quiet"
        gateway = [sys.executable, "-m", "gateway"]
        engine = ["--engine", options.engine]
        sweep = [*gateway, "sweep", str(config), *engine, "--out"]
        resume = [*gateway, "resume", str(disturbed), *engine]
        kill_after(n_points // 3, [*sweep, str(disturbed)], disturbed)
        kill_after(2 * n_points // 3, resume, disturbed)
        subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        subprocess.run([*sweep, str(quiet)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        same = [
            (disturbed / f"{t}.parquet").read_bytes() == (quiet / f"{t}.parquet").read_bytes()
            for t in TABLES
        ]
        again = sum(n - 1 for n in Counter(started(disturbed)).values())
    print(f"{n_points} points, killed twice: {again} begun a second time; "
          f"tables identical: {'yes' if all(same) else 'NO'}")  # fmt: skip


if __name__ == "__main__":
    main()
