"""How far can a detector be trusted on this log? The log with nothing to find, and with effects.

Pure functions of a join log, a target set and a seed: both nulls, time reversed, placebo
targets, and gateways planted into the joins that are there.
"""

from gateway.check.planting import MECHANISMS, PLACES, Planted, Planting, plant
from gateway.check.rearranging import (
    Rearranged,
    permute_labels,
    permute_within_users,
    placebo_targets,
    reverse_time,
)

__all__ = [
    "MECHANISMS",
    "PLACES",
    "Planted",
    "Planting",
    "Rearranged",
    "permute_labels",
    "permute_within_users",
    "placebo_targets",
    "plant",
    "reverse_time",
]
