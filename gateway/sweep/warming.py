"""Compile before the fan-out: one process of a machine fills the cache, the others wait.

Two that compile the same kernels at once do the work twice.
"""

from __future__ import annotations

import hashlib
import json
import platform

from gateway import _numba
from gateway._cache import filling, is_filled
from gateway.config import parse_config
from gateway.detect import DETECTORS
from gateway.pipeline import execute
from gateway.provenance import cpu_name, result_versions
from gateway.results import scratch_folder

__all__ = ["is_cold", "warm_up"]

# The smallest world that goes through every stage and every detector.
TINY = """
[experiment]
name = "warm-up"
seed = 5
[world]
users = 400
groups = 80
days = 120
arrival_days = 30
joins_per_user = 9.0
mean_friends = 6.0
topics = 8
harm_interest = 0.1
strikes_per_member = 2.0
countries = { US = 1.0 }
[world.roles]
targets = 16
influence = 6
homophily = 6
hub = 3
[targets]
country = "US"
kind = "nudity"
month = "2020-03"
min_strikes = 1
[score]
horizon = 30
[spike]
min_joiners = 5
min_spiking = 2
"""


def is_cold() -> bool:
    """Tell whether kernels are still to be compiled on this machine."""
    return _numba.is_compiled() and not is_filled(_numba.CACHE, _marker())


def _marker() -> str:
    facts = [result_versions(), cpu_name(), platform.machine(), platform.python_version()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def warm_up() -> None:
    """Run a tiny world once per machine, processor and set of versions."""
    with filling(_numba.CACHE, _marker()) as cold:
        if cold and _numba.is_compiled():
            with scratch_folder() as scratch:
                every = f"detect.detectors={json.dumps(list(DETECTORS))}"
                execute(parse_config(TINY, overrides=[every]), folder=scratch / "warm-up")
