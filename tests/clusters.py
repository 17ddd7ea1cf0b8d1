"""A Dask scheduler and workers on loopback, processes of their own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def process(
    name: str, *words: object, cwd: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a part of a cluster while the block lasts; its log lies in the folder."""
    with (cwd / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, words)], cwd=cwd,
            env=ENVIRONMENT | environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield running
        finally:
            running.kill()
            running.wait()


class Cluster:
    """A scheduler and workers on loopback."""

    def __init__(self, folder: Path, stack: ExitStack, *options: object) -> None:
        self.folder, self._stack = folder, stack
        file = folder / "scheduler.json"
        words = ("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
                 "--dashboard-address", "127.0.0.1:0",
                 "--scheduler-file", file, *options)  # fmt: skip
        self.scheduler = stack.enter_context(process("scheduler", *words, cwd=folder))
        deadline = time.monotonic() + 60
        while not file.exists():
            assert self.scheduler.poll() is None, (folder / "scheduler.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]

    def add_worker(
        self, name: str, *options: object, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker, without the nanny that would start it again."""
        place = self.folder / name
        place.mkdir()
        words = ("worker", self.address, "--no-nanny", "--nthreads", 1, "--no-dashboard",
                 "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0",
                 "--local-directory", place, *options)  # fmt: skip
        return self._stack.enter_context(process(name, *words, cwd=self.folder, **environment))
