"""The surroundings of every test, set before anything of the package is imported."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Compiled kernels of the tests lie in the checkout, not in the home folder of whoever runs them.
os.environ.setdefault("GATEWAY_CACHE_DIR", str(ROOT / ".cache"))
# Each process of pytest-xdist and what it starts keep kernels of their own: two that compile
# at once would write over each other's index (numba's cache is made for one).
if WORKER := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["GATEWAY_CACHE_DIR"] = str(Path(os.environ["GATEWAY_CACHE_DIR"]) / WORKER)
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
