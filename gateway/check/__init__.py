"""How far can a detector be trusted on this log? The log with nothing to find, and with effects.

Pure functions of a join log, a target set and a seed: both nulls, time reversed, placebo
targets, and gateways planted into the joins that are there.
"""

from gateway.check.designs import QUICK, THOROUGH, Design, logs_of
from gateway.check.measuring import Measured, measure_log
from gateway.check.planting import MECHANISMS, PLACES, Planted, Planting, plant
from gateway.check.rearranging import (
    Rearranged,
    permute_labels,
    permute_within_users,
    placebo_targets,
    reverse_time,
    sample_users,
)

__all__ = [
    "MECHANISMS",
    "PLACES",
    "QUICK",
    "THOROUGH",
    "Design",
    "Measured",
    "Planted",
    "Planting",
    "Rearranged",
    "logs_of",
    "measure_log",
    "permute_labels",
    "permute_within_users",
    "placebo_targets",
    "plant",
    "reverse_time",
    "sample_users",
]
