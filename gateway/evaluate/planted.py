"""A detector's findings against the planted truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect import UNRANKED, Detection
from gateway.evaluate.ranking import (
    Measure,
    at_top,
    average_precision,
    bootstrap_interval,
    precision_at,
    recall_at,
    share_among,
    share_at,
    spearman_among,
)
from gateway.randomness import Purpose, generator

__all__ = ["EVALUATION_SCHEMA", "TOPS", "evaluate_planted", "evaluation_table"]


EVALUATION_SCHEMA = pa.schema(
    [
        ("detector", pa.string()),
        ("truth", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
    ]
)
GATEWAY_ROLES = ("influence", "inviter", "recommender")
TOPS = (50, 100)
# Nominal false-discovery rates, percent.
NOMINAL = (5, 10, 20)


def evaluate_planted(
    detection: Detection,
    role: npt.NDArray[np.str_],
    strength: npt.NDArray[np.float64],
    *,
    seed: int,
    draws: int = 500,
) -> pa.Table:
    """Measure a ranking of all candidate groups against the planted roles.

    Groups with too few joiners to be ranked stand last, tied. Metrics: average
    precision, precision and recall at 50 and 100 for gateways of every mechanism; the share of
    every role at 50 and 100; the rank correlation of score and planted strength among
    ranked gateways; the number flagged and the share of them that are gateways. For a
    detector with q-values, at nominal rates of 5, 10 and 20 %: the number of groups called
    (``n_called_q05``) and the share of them that are no gateways, zero where none is
    called (``false_share_q05``): its mean over worlds is the realised false-discovery
    rate.

    Parameters
    ----------
    detection
        Findings.
    role, strength
        Planted role and beta of every group, shape (n_groups,).
    seed, draws
        Seed and size of the bootstrap over groups; 0 draws leave the intervals out.

    Returns
    -------
    pyarrow.Table
        Columns of ``EVALUATION_SCHEMA``.
    """
    at = detection.candidate
    last = len(detection.rank) + 1
    score = -np.where(detection.rank == UNRANKED, last, detection.rank)[at].astype(np.float64)
    ranked = (detection.rank != UNRANKED)[at]
    measures = _measures(score, role[at], strength[at], detection.flagged[at], ranked)
    measures |= _error_rates(detection.q_value[at], np.isin(role[at], GATEWAY_ROLES))
    rows = []
    for index, (metric, measure) in enumerate(measures.items()):
        rng = generator(seed, Purpose.BOOTSTRAP, index)
        low, high = bootstrap_interval(measure, len(score), rng=rng, draws=draws)
        value = measure(np.arange(len(score)))
        rows.append((detection.detector, "planted", metric, value, low, high))
    return evaluation_table(rows)


def evaluation_table(rows: Sequence[tuple[str, str, str, float, float, float]]) -> pa.Table:
    """Return rows of ``EVALUATION_SCHEMA`` as a table; NaN becomes null."""
    columns = zip(zip(*rows, strict=True), EVALUATION_SCHEMA.types, strict=True)
    arrays = [pa.array(column, kind, from_pandas=True) for column, kind in columns]
    return pa.table(arrays, schema=EVALUATION_SCHEMA)


def _measures(
    score: npt.NDArray[np.float64],
    role: npt.NDArray[np.str_],
    strength: npt.NDArray[np.float64],
    flagged: npt.NDArray[np.bool_],
    ranked: npt.NDArray[np.bool_],
) -> dict[str, Measure]:
    """Every metric as a function of which groups there are."""
    gateway = np.isin(role, GATEWAY_ROLES)
    measures: dict[str, Measure] = {
        "average_precision": lambda i: average_precision(
            score, gateway, np.bincount(i, minlength=len(score))
        )
    }
    for k in TOPS:
        measures[f"precision_at_{k}"] = at_top(precision_at, score, gateway, k)
        measures[f"recall_at_{k}"] = at_top(recall_at, score, gateway, k)
        for name in sorted(set(role.tolist()) - set(GATEWAY_ROLES)):
            measures[f"share_{name}_at_{k}"] = at_top(share_at, score, role == name, k)
    measures["spearman_strength"] = lambda i: spearman_among(
        score[i], strength[i], (gateway & ranked)[i]
    )
    measures["n_flagged"] = lambda i: float(np.count_nonzero(flagged[i]))
    measures["precision_flagged"] = lambda i: share_among(gateway[i], flagged[i])
    return measures


def _error_rates(q: npt.NDArray[np.float64], gateway: npt.NDArray[np.bool_]) -> dict[str, Measure]:
    """Calls at each nominal rate, and the share of them that is false."""
    measures: dict[str, Measure] = {}
    if np.isnan(q).all():
        return measures
    for percent in NOMINAL:
        called = np.nan_to_num(q, nan=1.0) < percent / 100
        measures[f"n_called_q{percent:02}"] = _count(called)
        measures[f"false_share_q{percent:02}"] = _false_share(called, gateway)
    return measures


def _count(member: npt.NDArray[np.bool_]) -> Measure:
    return lambda i: float(np.count_nonzero(member[i]))


def _false_share(called: npt.NDArray[np.bool_], gateway: npt.NDArray[np.bool_]) -> Measure:
    """False-discovery proportion (Benjamini, Hochberg 1995): 0 where nothing is called."""
    return lambda i: 1 - share_among(gateway[i], called[i]) if called[i].any() else 0.0
