"""The one call that takes a log and a target set and gives a ranking."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from gateway.detect.detection import Detection
from gateway.detect.registry import DETECTORS, REGISTRY, run_detector
from gateway.errors import GatewayError, Problem
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.work import check_training, scratch_folder
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet

__all__ = ["detect"]


def detect(
    joins: JoinLog,
    targets: TargetSet,
    *,
    detector: str = "spike",
    scores: Scores | None = None,
    horizon: Duration | None = None,
    seed: int = 1,
    **options: Any,
) -> Detection:
    """Rank the groups of a log as gateways to a target set.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    detector
        One of ``DETECTORS``.
    scores
        Scores of this log for these targets, for a detector that needs them; by default
        they are made here, with the logistic scorer.
    horizon
        Time within which a target join counts, for those scores and for a detector that
        counts later target joins itself: ``"180d"``, a ``timedelta``, or a number of ticks
        in a log of days or integers; None for any later one.
    seed
        Seed of what is split at random by name.
    options
        The detector's own: for ``spike`` the fields of ``SpikeOptions``, and so on.

    Returns
    -------
    Detection
        ``to_arrow()``, ``to_pandas()``, ``to_polars()`` give the table.

    Raises
    ------
    GatewayError
        For an unknown detector, an option that is unknown or out of its range, or a horizon that
        is no duration of this log.
    """
    if detector not in DETECTORS:
        rule = f"must be one of {', '.join(DETECTORS)}"
        raise GatewayError(str(Problem("detector", rule, repr(detector))))
    chosen = REGISTRY[detector].options(**options)
    if not isinstance(targets, TargetSet):
        raise GatewayError("targets must be a TargetSet: make one with gateway.named_targets")
    if horizon is not None:
        ticks_in(horizon, joins.tick, what="horizon")
    with ExitStack() as stack:
        if scores is None and REGISTRY[detector].needs_scores:
            check_training(joins)
            folder = stack.enter_context(scratch_folder())
            scores = score_joins(joins, targets, horizon=horizon, seed=seed, scratch=folder)
        return run_detector(
            detector, joins, targets, options=chosen, scores=scores, horizon=horizon, seed=seed
        )
