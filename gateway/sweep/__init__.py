"""Many runs of one config: swept keys, crossed with seeds, on one or many processes.

The format, in the TOML file of the base config::

    [sweep]
    design = "grid"         # or zip, random, latin_hypercube, sobol
    replicates = 3          # seeds experiment.seed, + 1, + 2
    time_limit = 600        # seconds per point; left out: none
    keep = "summary"        # or "full": every table of every point

    [sweep.over]            # keys in quotes
    "world.roles.influence_strength" = [0.5, 1.0, 1.4]
    "world.users" = { low = 1_000, high = 100_000, scale = "log", points = 5 }

A point is named by the digest of its resolved config, its seed and the model version. So
a finished point is never computed again, a changed one is, and a design can grow.
"""

from __future__ import annotations

from gateway.sweep.comparison import FolderComparison, compare_folders
from gateway.sweep.driver import Outcome, resume_sweep, run_sweep
from gateway.sweep.engines import ENGINES, EngineOptions, SweepStoppedError
from gateway.sweep.plan import Plan, Point, check_plan, read_plan, stored_plan
from gateway.sweep.status import Status, folder_status

__all__ = ["ENGINES", "EngineOptions", "FolderComparison", "Outcome", "Plan", "Point", "Status",
           "SweepStoppedError", "check_plan", "compare_folders", "folder_status", "read_plan",
           "resume_sweep", "run_sweep", "stored_plan"]  # fmt: skip
