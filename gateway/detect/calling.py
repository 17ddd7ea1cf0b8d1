"""The one call that takes a log and a target set and gives a ranking."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from gateway._callable import plugin, plugin_names
from gateway.config.detectors import Options
from gateway.detect.detection import Detection
from gateway.detect.registry import DETECTORS, REGISTRY, run_detector
from gateway.errors import AssumptionWarning, GatewayError, Problem
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.messages import did_you_mean, shown
from gateway.log.work import check_training, scratch_folder
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet, as_targets

__all__ = ["Detector", "detect", "find_gateways", "own_function"]

Detector = str | Callable[..., Any]
_PLUGINS = "gateway.detectors"
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
        on; for a function whatever else it takes.

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
        is no duration of this log, or a target that is no group of it.

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
    function = own_function(detector)
    known = "" if function else str(detector)
    if known:
        _check_arguments(options, REGISTRY[known].options)
        options = {"options": REGISTRY[known].options(**options)}
    if horizon is not None:
        ticks_in(horizon, joins.tick, what="horizon")
    needs = REGISTRY[known].needs_scores if known else "scores" in _arguments(function)
    with ExitStack() as stack:
        if scores is None and needs:
            check_training(joins)
            folder = stack.enter_context(scratch_folder())
            scores = score_joins(joins, targets, horizon=horizon, seed=seed, scratch=folder)
        offered: dict[str, Any] = {"scores": scores, "horizon": horizon, "seed": seed}
        if known:
            return run_detector(known, joins, targets, **options, **offered)
        return _run_own(detector, function, joins, targets, offered, options)


def _check_arguments(given: Mapping[str, Any], options: type[Options]) -> None:
    """Refuse what looks like an argument of ``detect`` itself rather than of the detector."""
    for name in given:
        if name not in options.model_fields and not did_you_mean(name, options.model_fields):
            hint = did_you_mean(name, _ARGUMENTS)
            if hint:
                rule = f"is no argument of detect, nor an option of {options.section}"
                raise GatewayError(str(Problem(shown(name), rule, hint=hint)))


def own_function(detector: Any) -> Callable[..., Any] | None:
    """Return the function of a detector that is not of this package; None of one that is.

    Raises
    ------
    GatewayError
        If there is no such detector.
    """
    if isinstance(detector, str) and detector in DETECTORS:
        return None
    if callable(detector):
        return detector  # type: ignore[no-any-return]
    function = plugin(_PLUGINS, detector) if isinstance(detector, str) else None
    if function is None:
        known = (*DETECTORS, *plugin_names(_PLUGINS))
        rule = f"must be a function or one of {', '.join(known)}"
        hint = did_you_mean(detector, known) if isinstance(detector, str) else None
        raise GatewayError(str(Problem("detector", rule, shown(detector), hint=hint)))
    if not callable(function):
        rule = "must be brought as a function of a log and a target set"
        raise GatewayError(str(Problem(f"detector {detector}", rule, type(function).__name__)))
    return function  # type: ignore[no-any-return]


def _arguments(function: Callable[..., Any] | None) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters) if function else frozenset()


def _run_own(
    detector: Detector,
    function: Callable[..., Any] | None,
    joins: JoinLog,
    targets: TargetSet,
    offered: dict[str, Any],
    options: dict[str, Any],
) -> Detection:
    """Run a function as detector, and make a detection of what it gives."""
    if function is None:
        raise ValueError("there is no function")
    name = detector if isinstance(detector, str) else getattr(function, "__name__", "own")
    taken = {key: offered[key] for key in sorted(offered.keys() & _arguments(function))}
    found = function(joins, targets, **taken, **options)
    if not isinstance(found, Detection):
        return Detection.from_scores(joins, targets, found, name=name.strip("<>"))
    if len(found.groups) != joins.n_groups:
        rule = f"must give one row for each of the log's {joins.n_groups:,} groups"
        raise GatewayError(str(Problem(f"detector {name}", rule, f"{len(found.groups):,}")))
    return found
