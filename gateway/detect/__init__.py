"""Detectors: a join log, a target set and scores in; one row per group out.

The package can be called: ``gateway.detect(joins, targets, detector="spike")``.
"""

from gateway._callable import make_callable
from gateway.config.detectors import (
    CoefficientOptions,
    FrequentistOptions,
    HittingOptions,
    MarkovRemovalOptions,
    MatchingOptions,
    OrderOptions,
    SelfControlledOptions,
    SpikeOptions,
    SurvivalOptions,
)
from gateway.detect.chain import detect_by_hitting, detect_markov_removal
from gateway.detect.coefficient import detect_coefficient
from gateway.detect.detection import UNRANKED, Detection, rank_groups
from gateway.detect.edges import EdgesOptions, detect_edges
from gateway.detect.frequentist import detect_frequentist
from gateway.detect.matching import detect_by_matching
from gateway.detect.measure import Claim, Measure, Quantity
from gateway.detect.order import detect_order
from gateway.detect.registry import (
    DETECTORS,
    REGISTRY,
    Entry,
    compare_users,
    detect,
    detectors_for,
    measure_of,
    run_detector,
)
from gateway.detect.self_controlled import detect_self_controlled
from gateway.detect.spike import detect_spikes, find_spikes
from gateway.detect.survival import detect_survival

__all__ = [
    "DETECTORS",
    "REGISTRY",
    "UNRANKED",
    "Claim",
    "CoefficientOptions",
    "Detection",
    "EdgesOptions",
    "Entry",
    "FrequentistOptions",
    "HittingOptions",
    "MarkovRemovalOptions",
    "MatchingOptions",
    "Measure",
    "OrderOptions",
    "Quantity",
    "SelfControlledOptions",
    "SpikeOptions",
    "SurvivalOptions",
    "compare_users",
    "detect",
    "detect_by_hitting",
    "detect_by_matching",
    "detect_coefficient",
    "detect_edges",
    "detect_frequentist",
    "detect_markov_removal",
    "detect_order",
    "detect_self_controlled",
    "detect_spikes",
    "detect_survival",
    "detectors_for",
    "find_spikes",
    "measure_of",
    "rank_groups",
    "run_detector",
]  # fmt: skip

make_callable(__name__, detect)
