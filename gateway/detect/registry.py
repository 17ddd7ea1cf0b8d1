"""Which detectors there are: function, options, what it measures and what else it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.detect.coefficient import COEFFICIENT, CoefficientOptions, detect_coefficient
from gateway.detect.detection import Detection
from gateway.detect.frequentist import FREQUENTIST, FrequentistOptions, detect_frequentist
from gateway.detect.hitting import HITTING, HittingOptions, detect_by_hitting
from gateway.detect.markov_removal import (
    MARKOV_REMOVAL,
    MarkovRemovalOptions,
    detect_markov_removal,
)
from gateway.detect.matching import MATCHING, MatchingOptions, detect_by_matching
from gateway.detect.measure import Measure, Quantity
from gateway.detect.order import ORDER, OrderOptions, detect_order
from gateway.detect.self_controlled import (
    SELF_CONTROLLED,
    SelfControlledOptions,
    detect_self_controlled,
)
from gateway.detect.spike import SPIKE, SpikeOptions, detect_spikes
from gateway.detect.survival import SURVIVAL, SurvivalOptions, detect_survival
from gateway.log import Duration
from gateway.log.join_log import JoinLog
from gateway.score import Scores
from gateway.targets import TargetSet

__all__ = [
    "DETECTORS",
    "REGISTRY",
    "Entry",
    "compare_users",
    "measure_of",
    "run_detector",
]


@dataclass(frozen=True)
class Entry:
    """A detector.

    Parameters
    ----------
    find
        Takes log, target set and ``options``; gives a ``Detection`` of its own name.
    options
        Class of the options, a frozen dataclass with a default for every field.
    measure
        What its numbers mean with the default options.
    takes
        What else it takes by name, of ``scores``, ``horizon`` and ``seed``.
    cases_alone
        Whether it looks at users who join a target, and at no others.
    """

    find: Callable[..., Detection]
    options: type[Any]
    measure: Measure
    takes: frozenset[str] = frozenset()
    cases_alone: bool = False

    @property
    def uses_horizon(self) -> bool:
        """Whether the horizon changes what it finds."""
        return bool({"scores", "horizon"} & self.takes)

    @property
    def needs_scores(self) -> bool:
        """Whether it looks at P(target | joins so far)."""
        return "scores" in self.takes


def _entry(
    find: Callable[..., Detection],
    options: type[Any],
    measure: Measure,
    *takes: str,
    cases_alone: bool = False,
) -> Entry:
    return Entry(find, options, measure, frozenset(takes), cases_alone)


_ENTRIES = (
    _entry(detect_spikes, SpikeOptions, SPIKE, "scores"),
    _entry(detect_frequentist, FrequentistOptions, FREQUENTIST, "horizon"),
    _entry(detect_survival, SurvivalOptions, SURVIVAL),
    _entry(detect_coefficient, CoefficientOptions, COEFFICIENT, "seed"),
    _entry(detect_markov_removal, MarkovRemovalOptions, MARKOV_REMOVAL),
    _entry(detect_by_hitting, HittingOptions, HITTING),
    _entry(detect_by_matching, MatchingOptions, MATCHING, "scores"),
    _entry(detect_order, OrderOptions, ORDER, cases_alone=True),
    _entry(
        detect_self_controlled, SelfControlledOptions, SELF_CONTROLLED, "seed",
        cases_alone=True,
    ),
)  # fmt: skip
REGISTRY: Mapping[str, Entry] = {entry.measure.detector: entry for entry in _ENTRIES}
"""Every detector by name. A new one needs its line here, its name in
``gateway.config.detectors.DetectorName`` and a config section of its name whose keys are
the fields of its options; tests/test_detectors.py then runs every law on it."""

DETECTORS: tuple[str, ...] = tuple(REGISTRY)


def measure_of(detector: str) -> Measure:
    """Return what the numbers of a detector mean; little of one that is not registered."""
    if detector in REGISTRY:
        return REGISTRY[detector].measure
    return Measure(
        detector=detector,
        estimate=Quantity("estimate", "the detector's estimate"),
        score=Quantity("score", "what the detector ranks by"),
        joiners="joiners",
        events="joiners with an event",
    )


def compare_users(names: Iterable[str]) -> bool:
    """Return whether a detector compares users who join a target with others."""
    return not all(REGISTRY[name].cases_alone for name in names)


def run_detector(
    name: str,
    joins: JoinLog,
    targets: TargetSet,
    *,
    options: Mapping[str, Any],
    scores: Scores | None,
    horizon: Duration | None,
    seed: int,
) -> Detection:
    """Run a detector of the registry with its options by name.

    ``scores`` may be None for one that needs none.
    """
    entry = REGISTRY[name]
    offered = {"scores": scores, "horizon": horizon, "seed": seed}
    taken = {key: offered[key] for key in sorted(entry.takes)}
    return entry.find(joins, targets, options=entry.options(**options), **taken)
