"""Which detectors there are: function, options, what it measures and what else it takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from gateway._numba import threads_at_most
from gateway.config.detectors import OPTIONS, Options, OutsideOptions
from gateway.detect.chain import HITTING, MARKOV_REMOVAL, detect_by_hitting, detect_markov_removal
from gateway.detect.coefficient import COEFFICIENT, detect_coefficient
from gateway.detect.detection import Detection
from gateway.detect.edges import EDGES, detect_edges
from gateway.detect.frequentist import FREQUENTIST, detect_frequentist
from gateway.detect.matching import MATCHING, detect_by_matching
from gateway.detect.measure import Measure, own_measure
from gateway.detect.order import ORDER, detect_order
from gateway.detect.outside import outside_detector
from gateway.detect.self_controlled import SELF_CONTROLLED, detect_self_controlled
from gateway.detect.spike import SPIKE, detect_spikes
from gateway.detect.survival import SURVIVAL, detect_survival
from gateway.errors import AssumptionWarning, GatewayError, Problem, did_you_mean, shown
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.work import check_training, scratch_folder
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet, as_targets

# A kernel of fewer joins is done before a second thread is awake.
_JOINS_PER_THREAD = 50_000


Detector = str | Callable[..., Any]
"""The name of a detector, or a function that is one."""


@dataclass(frozen=True)
class Entry:
    """A detector.

    Parameters
    ----------
    find
        Takes log, target set and ``options``; gives a ``Detection`` of its own name.
    options
        Class of the options, with a default for every field.
    measure
        What its numbers mean with the default options.
    takes
        What else it takes by name, of ``scores``, ``horizon`` and ``seed``.
    cases_alone
        Whether it looks at users who join a target, and at no others.
    """

    find: Callable[..., Detection]
    options: type[Options]
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
    find: Callable[..., Detection], measure: Measure, *takes: str, cases_alone: bool = False
) -> Entry:
    return Entry(find, OPTIONS[measure.detector], measure, frozenset(takes), cases_alone)


_ENTRIES = (
    _entry(detect_spikes, SPIKE, "scores"),
    _entry(detect_frequentist, FREQUENTIST, "horizon"),
    _entry(detect_survival, SURVIVAL),
    _entry(detect_coefficient, COEFFICIENT, "seed"),
    _entry(detect_markov_removal, MARKOV_REMOVAL),
    _entry(detect_by_hitting, HITTING),
    _entry(detect_by_matching, MATCHING, "scores"),
    _entry(detect_order, ORDER, cases_alone=True),
    _entry(
        detect_self_controlled, SELF_CONTROLLED, "seed",
        cases_alone=True,
    ),
    _entry(detect_edges, EDGES, cases_alone=True),
)  # fmt: skip
REGISTRY: Mapping[str, Entry] = {entry.measure.detector: entry for entry in _ENTRIES}
"""Every detector by name. A new one needs its line here and its options in
``gateway.config.detectors``; tests/test_detectors.py then runs every law on it."""

DETECTORS: tuple[str, ...] = tuple(REGISTRY)


def detectors_for(joins: JoinLog) -> tuple[str, ...]:
    """Return the detectors that a log has the columns for: those of traces need some."""
    has_traces = joins.seed_group is not None or joins.inviter is not None
    return tuple(n for n in DETECTORS if has_traces or REGISTRY[n].measure.claims != "trace")


def measure_of(detector: str) -> Measure:
    """Return what the numbers of a detector mean; little of one that is not registered."""
    if detector in REGISTRY:
        return REGISTRY[detector].measure
    return own_measure(detector)


def entry_of(detector: Detector) -> Entry:
    """Return a detector, be it of this package, of another one, or a function.

    Raises
    ------
    GatewayError
        If there is no such detector.
    """
    outside = outside_detector(detector)
    if outside is None:
        return REGISTRY[str(detector)]
    return Entry(outside.find, OutsideOptions, own_measure(outside.name), outside.takes)


def compare_users(names: Iterable[str]) -> bool:
    """Return whether a detector compares users who join a target with others."""
    return not all(entry_of(name).cases_alone for name in names)


def run_detector(
    detector: Detector,
    joins: JoinLog,
    targets: TargetSet,
    *,
    options: Options,
    scores: Scores | None,
    horizon: Duration | None,
    seed: int,
) -> Detection:
    """Run a detector with its options; ``scores`` may be None for one that needs none."""
    entry = entry_of(detector)
    offered = {"scores": scores, "horizon": horizon, "seed": seed}
    taken = {key: offered[key] for key in sorted(entry.takes)}
    with threads_at_most(max(1, joins.n_joins // _JOINS_PER_THREAD)):
        return entry.find(joins, targets, options=options, **taken)


_ARGUMENTS = ("detector", "scores", "horizon", "seed")


def detect(
    joins: JoinLog,
    targets: TargetSet | str | Sequence[str],
    *,
    detector: Detector = "spike",
    scores: Scores | None = None,
    horizon: Duration | None = None,
    seed: int = 1,
    **options: Any,
) -> Detection:
    """Rank the groups of a log as gateways to a target set.

    Parameters
    ----------
    joins
        The log; see ``JoinLog.read``, ``JoinLog.from_dataframe`` and ``example_log``.
    targets
        The target set, or the names of the target groups.
    detector
        One of ``gateway.detect.DETECTORS``; a name that an installed package brings as entry
        point of ``gateway.detectors``; or a function of log and target set that gives one number
        for each group, a mapping from names of groups, or a ``Detection``. A function may name
        ``scores``, ``horizon`` and ``seed`` among its arguments too.
    scores
        Scores of this log for these targets (``gateway.score``), for a detector that needs
        them; by default they are made here, with the logistic scorer.
    horizon
        Time within which a target join counts, for those scores and for a detector that
        counts later target joins itself: ``"180d"``, a ``timedelta``, or a number of ticks
        in a log of days or integers; None for any later one.
    seed
        Seed of what is split at random by name.
    options
        The detector's own: for ``spike`` the fields of ``gateway.detect.SpikeOptions``, and so
        on; for a function whatever else it takes, and ``min_joiners`` and ``alpha`` as
        ``Detection.from_scores`` does.

    Returns
    -------
    Detection
        One row for each group: ``summary()`` says what was found, ``plot()`` draws the first
        groups, ``to_pandas()``, ``to_polars()`` and ``to_arrow()`` give the table.

    Warns
    -----
    AssumptionWarning
        For each check of the detector's assumptions that failed on this log.

    Raises
    ------
    GatewayError
        For an unknown detector, an option that is unknown or out of its range, a horizon that
        is no duration of this log, or a target that is no group of it; for a function that
        gives something else, and for an installed package's that fails.

    Examples
    --------
    >>> import gateway
    >>> example = gateway.example_log()
    >>> found = gateway.detect(example.joins, example.targets, detector="order")
    >>> found.detector, len(found.top) > 0
    ('order', True)

    A detector of one's own:

    >>> def size(joins, targets):
    ...     return joins.sizes()
    >>> gateway.detect(example.joins, example.targets, detector=size)
    <Detection by size: ... groups ranked, 0 flagged>
    """
    chosen = as_targets(joins, targets)
    found = find_gateways(
        joins, chosen, detector=detector, scores=scores, horizon=horizon, seed=seed, **options
    )
    for text in found.warnings:
        warnings.warn(f"{found.detector}: {text}", AssumptionWarning, stacklevel=2)
    return found


def find_gateways(
    joins: JoinLog,
    targets: TargetSet,
    *,
    detector: Detector,
    scores: Scores | None,
    horizon: Duration | None,
    seed: int,
    **options: Any,
) -> Detection:
    """Rank the groups as ``detect`` does, and leave the warnings to the caller."""
    entry = entry_of(detector)
    if entry.options is not OutsideOptions:
        _check_arguments(options, entry.options)
    chosen = entry.options(**options)
    if horizon is not None:
        ticks_in(horizon, joins.tick, what="horizon")
    with ExitStack() as stack:
        if scores is None and entry.needs_scores:
            check_training(joins)
            folder = stack.enter_context(scratch_folder())
            scores = score_joins(joins, targets, horizon=horizon, seed=seed, scratch=folder)
        return run_detector(
            detector, joins, targets, options=chosen, scores=scores, horizon=horizon, seed=seed
        )


def _check_arguments(given: Mapping[str, Any], options: type[Options]) -> None:
    """Refuse what looks like an argument of ``detect`` itself rather than of the detector."""
    for name in given:
        if name not in options.model_fields and not did_you_mean(name, options.model_fields):
            hint = did_you_mean(name, _ARGUMENTS)
            if hint:
                rule = f"is no argument of detect, nor an option of {options.section}"
                raise GatewayError(str(Problem(shown(name), rule, hint=hint)))
