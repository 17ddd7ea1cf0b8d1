"""A detector's findings against the planted truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import spearmanr

from gateway.detect import UNRANKED, Detection
from gateway.evaluate.ranking import (
    average_precision,
    bootstrap_interval,
    precision_at,
    recall_at,
    share_at,
)
from gateway.randomness import Purpose, generator

__all__ = ["EVALUATION_SCHEMA", "evaluate_planted"]

Positions = npt.NDArray[np.int64]
Measure = Callable[[Positions], float]

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


def evaluate_planted(
    detection: Detection,
    role: npt.NDArray[np.str_],
    strength: npt.NDArray[np.float64],
    *,
    seed: int,
) -> pa.Table:
    """Measure a ranking of all candidate groups against the planted roles.

    Groups with too few joiners to be ranked stand last, tied. Metrics: average
    precision, precision and recall at 50 and 100 for gateways of every mechanism; the share of
    every role at 50 and 100; the rank correlation of score and planted strength among
    ranked gateways; the number flagged and the share of them that are gateways.

    Parameters
    ----------
    detection
        Findings.
    role, strength
        Planted role and beta of every group, shape (n_groups,).
    seed
        Seed of the bootstrap over groups.

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
    rows = []
    for index, (metric, measure) in enumerate(measures.items()):
        rng = generator(seed, Purpose.BOOTSTRAP, index)
        low, high = bootstrap_interval(measure, len(score), rng=rng)
        value = measure(np.arange(len(score)))
        rows.append((detection.detector, "planted", metric, value, low, high))
    columns = zip(zip(*rows, strict=True), EVALUATION_SCHEMA.types, strict=True)
    arrays = [pa.array(column, kind, from_pandas=True) for column, kind in columns]
    return pa.table(arrays, schema=EVALUATION_SCHEMA)


def _measures(
    score: npt.NDArray[np.float64],
    role: npt.NDArray[np.str_],
    strength: npt.NDArray[np.float64],
    flagged: npt.NDArray[np.bool_],
    ranked: npt.NDArray[np.bool_],
) -> Mapping[str, Measure]:
    """Every metric as a function of which groups there are."""
    gateway = np.isin(role, GATEWAY_ROLES)
    measures: dict[str, Measure] = {
        "average_precision": lambda i: average_precision(
            score, gateway, np.bincount(i, minlength=len(score))
        )
    }
    for k in TOPS:
        measures[f"precision_at_{k}"] = _at(precision_at, score, gateway, k)
        measures[f"recall_at_{k}"] = _at(recall_at, score, gateway, k)
        for name in sorted(set(role.tolist()) - set(GATEWAY_ROLES)):
            measures[f"share_{name}_at_{k}"] = _at(share_at, score, role == name, k)
    measures["spearman_strength"] = lambda i: _spearman(
        score[i], strength[i], (gateway & ranked)[i]
    )
    measures["n_flagged"] = lambda i: float(np.count_nonzero(flagged[i]))
    measures["precision_flagged"] = lambda i: _share(gateway[i], flagged[i])
    return measures


def _at(
    measure: Callable[[npt.NDArray[np.float64], npt.NDArray[np.bool_], int], float],
    score: npt.NDArray[np.float64],
    member: npt.NDArray[np.bool_],
    k: int,
) -> Measure:
    """Bind a measure of the top k to one score and one kind of group."""
    return lambda i: measure(score[i], member[i], k)


def _spearman(
    score: npt.NDArray[np.float64],
    strength: npt.NDArray[np.float64],
    among: npt.NDArray[np.bool_],
) -> float:
    x, y = score[among], strength[among]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def _share(member: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    n = np.count_nonzero(among)
    return np.count_nonzero(member & among) / n if n else float("nan")
