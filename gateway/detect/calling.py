"""The one call that takes a log and a target set and gives a ranking."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from gateway.config.detectors import Options, OutsideOptions
from gateway.detect.detection import Detection
from gateway.detect.registry import Detector, entry_of, run_detector
from gateway.errors import AssumptionWarning, GatewayError, Problem
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.messages import did_you_mean, shown
from gateway.log.work import check_training, scratch_folder
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet, as_targets

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
