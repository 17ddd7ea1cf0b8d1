"""The surroundings of every test, set before anything of the package is imported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.loops"]

ROOT = Path(__file__).parents[1]

# Compiled kernels of the tests lie in the checkout, not in the home folder of whoever runs them.
os.environ.setdefault("GATEWAY_CACHE_DIR", str(ROOT / ".cache"))
# Temporary folders lie in memory where there is room. Results are put on the disk file by file,
# which some disks take milliseconds for, each; who is killed leaves the same in memory.
MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of this name is pytest's to choose)
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# Threads that have nothing to do sleep. Otherwise they look for work at full speed, and where
# other processes want the cores, a loop of microseconds takes milliseconds.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Tests compare one thread with two; numba caps the number at the cores it sees.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, os.cpu_count() or 1)))
# No window, whatever the desktop.
os.environ["MPLBACKEND"] = "agg"

# The same examples each time: what is red for one is red for all. No deadline: the first
# example pays for compiling the kernels. HYPOTHESIS_PROFILE=explore draws new examples.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no images of figures, which take seconds in every run."""
    empty = b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'
    monkeypatch.setattr("gateway.publish.render", lambda _: {"svg": empty})


@pytest.fixture
def undrawn(unrendered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures: what is plotted is worked out, and that is all."""
    monkeypatch.setattr("gateway.figures.StoredFigure.draw", lambda *_, **__: None)


# pytest-xdist deals out the tests in halves. At the head of one what compiles the simulator, of
# the other what compiles the detectors: two processes that begin with an empty cache compile
# for each other and not the same twice. Then what is long and shares a fixture in its module.
# Short tests are left for the end, where a process that is done takes some from another.
HEADS = (
    ("test_calibrated.py", "test_simulate.py", "test_laws.py", "test_replay.py",
     "test_counterfactual.py", "test_sweep_faults.py", "test_sweep_cluster.py", "test_sweep.py"),
    ("test_big_logs.py", "test_score.py", "test_score_training.py", "test_spike.py",
     "test_self_controlled.py", "test_scorers.py", "test_detectors.py", "test_pipeline.py",
     "test_partitioned_cluster.py", "test_cli.py", "test_report_browser.py"),
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that compile most, and the longest, at the heads of two halves."""
    place = {name: (half, n) for half, names in enumerate(HEADS) for n, name in enumerate(names)}
    by_half = [[item for item in items if place.get(item.path.name, (2,))[0] == half]
               for half in range(3)]  # fmt: skip
    for head in by_half[:2]:
        head.sort(key=lambda item: place[item.path.name])
    first, second, others = by_half
    middle = max(0, len(items) // 2 - len(first))
    items[:] = [*first, *others[:middle], *second, *others[middle:]]
