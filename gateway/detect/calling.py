"""The one call that takes a log and a target set and gives a ranking."""

from __future__ import annotations

from typing import Any

from gateway.detect.detection import Detection
from gateway.detect.spike import SpikeOptions, detect_spikes
from gateway.errors import GatewayError, Problem
from gateway.joins import JoinLog
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet

__all__ = ["DETECTORS", "detect"]

DETECTORS = ("spike",)


def detect(
    joins: JoinLog,
    targets: TargetSet,
    *,
    detector: str = "spike",
    scores: Scores | None = None,
    horizon: int | None = None,
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
        Scores of this log for these targets; by default they are made here, with the
        logistic scorer.
    horizon
        Ticks within which a target join counts, for those scores; None for any later one.
    seed
        Seed of the folds, for those scores.
    options
        The detector's own, for ``spike`` the fields of ``SpikeOptions``.

    Returns
    -------
    Detection
        ``to_arrow()``, ``to_pandas()``, ``to_polars()`` give the table.

    Raises
    ------
    GatewayError
        For an unknown detector or option.
    """
    if detector not in DETECTORS:
        rule = f"must be one of {', '.join(DETECTORS)}"
        raise GatewayError(str(Problem("detector", rule, repr(detector))))
    known = set(SpikeOptions.__dataclass_fields__)
    unknown = sorted(set(options) - known)
    if unknown:
        rule = f"is not an option of 'spike'; it has {', '.join(sorted(known))}"
        raise GatewayError(str(Problem(unknown[0], rule)))
    if not isinstance(targets, TargetSet):
        raise GatewayError("targets must be a TargetSet: make one with gateway.named_targets")
    if horizon is not None and (type(horizon) is not int or horizon < 1):
        rule = "must be a whole number of ticks, at least 1, or None"
        raise GatewayError(str(Problem("horizon", rule, repr(horizon))))
    scores = scores or score_joins(joins, targets, horizon=horizon, seed=seed)
    return detect_spikes(joins, targets, scores, options=SpikeOptions(**options))
