"""Detectors: a join log, a target set and scores in; one row per group out.

The package can be called: ``gateway.detect(joins, targets, detector="spike")``.
"""

from gateway._callable import make_callable
from gateway.detect.calling import DETECTORS, detect
from gateway.detect.detection import UNRANKED, Detection, rank_groups
from gateway.detect.self_controlled import SelfControlledOptions, detect_self_controlled
from gateway.detect.spike import SpikeOptions, detect_spikes, find_spikes

__all__ = [
    "DETECTORS",
    "UNRANKED",
    "Detection",
    "SelfControlledOptions",
    "SpikeOptions",
    "detect",
    "detect_self_controlled",
    "detect_spikes",
    "find_spikes",
    "rank_groups",
]

make_callable(__name__, detect)
