"""A detector's findings against the planted truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
) -> Mapping[str, Measure]:
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
