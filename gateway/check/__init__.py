"""How far can a detector be trusted on this log? The log with nothing to find, and with effects.

Pure functions of a join log, a target set and a seed: both nulls, time reversed, placebo
targets, and gateways planted into the joins that are there.

The package can be called: ``gateway.check(joins, targets, detectors=["spike"])``.
"""

from gateway._callable import make_callable
from gateway.check.calling import Check, check
from gateway.check.designs import QUICK, THOROUGH, Design, logs_of
from gateway.check.measuring import Measured, measure_log
from gateway.check.permuting import PERMUTED, Permuted, permute_few
from gateway.check.planting import MECHANISMS, PLACES, Planted, Planting, plant
from gateway.check.rearranging import (
    Rearranged,
    permute_labels,
    permute_within_users,
    placebo_targets,
    reverse_time,
    sample_users,
)
from gateway.check.summary import CHECK_SCHEMA, fails, is_of_check, summarise_check
from gateway.check.words import LOGS, limits_of, paragraph_of, verdict_of_check

__all__ = [
    "CHECK_SCHEMA",
    "LOGS",
    "MECHANISMS",
    "PERMUTED",
    "PLACES",
    "QUICK",
    "THOROUGH",
    "Check",
    "Design",
    "Measured",
    "Permuted",
    "Planted",
    "Planting",
    "Rearranged",
    "check",
    "fails",
    "is_of_check",
    "limits_of",
    "logs_of",
    "measure_log",
    "paragraph_of",
    "permute_few",
    "permute_labels",
    "permute_within_users",
    "placebo_targets",
    "plant",
    "reverse_time",
    "sample_users",
    "summarise_check",
    "verdict_of_check",
]

make_callable(__name__, check)
