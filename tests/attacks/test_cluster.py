"""The cluster of this machine's own: other users of it can neither use nor look at it."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra [dask] is not installed")
pytest.importorskip("cryptography", reason="the extra [dask] is not installed")

from distributed import Client

from gateway import __version__
from gateway._processes import command_of
from gateway.sweep import EngineOptions
from gateway.sweep.cluster import connected

ROOT = Path(__file__).parents[2]
PLANTED = "raise SystemExit('run from the current folder')"


@pytest.fixture
def planted(tmp_path, monkeypatch) -> Path:
    """A current folder whose files have names of Python's own modules."""
    for name in ("queue", "multiprocessing", "pickle", "socket", "numba", "json"):
        (tmp_path / f"{name}.py").write_text(PLANTED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cluster(planted) -> Iterator[Client]:
    assert (planted / "queue.py").exists()
    with connected(EngineOptions("dask", workers=1)) as client:
        yield client


def test_cluster__of_this_machine_is_closed(cluster) -> None:
    address = cluster.scheduler_info()["address"]
    assert address.startswith("tls://127.0.0.1:")
    for plain in (address, address.replace("tls", "tcp")):
        with pytest.raises((OSError, TimeoutError, ValueError, TypeError)):
            Client(plain, timeout=2, set_as_default=False)
    worker = next(iter(cluster.scheduler_info()["workers"]))
    assert worker.startswith("tls://127.0.0.1:")
    ports = [cluster.scheduler_info()["services"].get("dashboard")]
    for port in filter(None, ports):
        for page in ("", "status", "info/main/workers.html", "json/identity.json", "metrics"):
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)
    # And it works, from a folder full of planted modules.
    assert cluster.submit(os.getpid).result(timeout=60) != os.getpid()


def test_own_processes__import_nothing_from_the_current_folder(planted) -> None:
    done = subprocess.run(
        command_of("gateway", "--version"), cwd=planted, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"gateway {__version__}\n"), done.stderr


def test_own_processes__are_started_in_one_way_alone() -> None:
    """Whatever module it is, and wherever the program is called."""
    for path in (ROOT / "gateway").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "sys.executable" not in text or path.name == "_processes.py", path
