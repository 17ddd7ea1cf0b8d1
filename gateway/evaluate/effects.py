"""A detector's findings against effects known by replay: direct, or total."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import false_discovery_control, norm

from gateway.detect import UNRANKED, Detection
from gateway.evaluate.planted import TOPS, evaluation_table
from gateway.evaluate.ranking import (
    Measure,
    at_top,
    average_precision,
    bootstrap_interval,
    precision_at,
    recall_at,
    share_among,
    spearman_among,
)
from gateway.randomness import Purpose, generator

__all__ = ["clear_effects", "evaluate_effects", "ndcg"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# The truth is measured too: an effect counts when it would be called at this rate.
CLEAR_AT = 0.05


def clear_effects(effect: Float64, standard_error: Float64, *, alpha: float = CLEAR_AT) -> Mask:
    """Return which effects are above zero beyond the noise of their own measurement.

    One-sided normal test of effect / standard error, Benjamini-Hochberg at ``alpha`` over
    the groups of which both are known. An effect whose error is zero is known exactly.

    Examples
    --------
    >>> clear_effects(np.array([0.5, 0.1, -0.5]), np.array([0.1, 0.1, 0.1])).tolist()
    [True, False, False]
    """
    known = ~np.isnan(effect) & ~np.isnan(standard_error)
    clear = np.zeros(len(effect), bool)
    if not known.any():
        return clear
    with np.errstate(divide="ignore", invalid="ignore"):
        z = effect[known] / standard_error[known]
    p = norm.sf(np.nan_to_num(z, nan=0.0))
    clear[known] = (false_discovery_control(p) < alpha) & (effect[known] > 0)
    return clear


def evaluate_effects(
    detection: Detection,
    effect: Float64,
    standard_error: Float64,
    *,
    truth: str,
    seed: int,
    draws: int = 500,
) -> pa.Table:
    """Measure a ranking against a measured effect of each group.

    Only candidates whose effect is known take part. Relevant are those whose effect is
    *clearly* positive (``clear_effects``). Metrics: average precision, precision and recall
    at 50 and 100; nDCG over all groups and at 100 with the effect as gain, zero where it is
    not clear (Jarvelin, Kekalainen 2002; ties averaged); Spearman's correlation of score
    and effect among ranked groups, and among ranked groups with a clear effect; the share
    of flagged groups that are relevant.

    Parameters
    ----------
    detection
        Findings.
    effect, standard_error
        Later target joins per join of the group, and its standard error, shape
        (n_groups,); NaN where not measured.
    truth
        What the effect is, for the table: ``direct`` or ``total``.
    seed, draws
        Seed and size of the bootstrap over groups; 0 draws leave the intervals out.

    Returns
    -------
    pyarrow.Table
        Columns of ``EVALUATION_SCHEMA``. The intervals answer for the draw of groups
        within one world.

    References
    ----------
    Jarvelin, Kekalainen (2002), "Cumulated gain-based evaluation of IR techniques", ACM
    Trans. Inf. Syst. 20(4).
    """
    at = detection.candidate & ~np.isnan(effect)
    last = len(detection.rank) + 1
    score = -np.where(detection.rank == UNRANKED, last, detection.rank)[at].astype(np.float64)
    clear = clear_effects(effect[at], standard_error[at])
    ranked = (detection.rank != UNRANKED)[at]
    measures = _measures(score, effect[at], clear, ranked, detection.flagged[at])
    rows = []
    for index, (metric, measure) in enumerate(measures.items()):
        rng = generator(seed, Purpose.BOOTSTRAP, index)
        low, high = bootstrap_interval(measure, len(score), rng=rng, draws=draws)
        rows.append((detection.detector, truth, metric, measure(np.arange(len(score))), low, high))
    return evaluation_table(rows)


def _measures(
    score: Float64, effect: Float64, clear: Mask, ranked: Mask, flagged: Mask
) -> Mapping[str, Measure]:
    """Every metric as a function of which groups there are."""
    gain = np.where(clear, effect, 0.0)
    measures: dict[str, Measure] = {
        "average_precision": lambda i: average_precision(
            score, clear, np.bincount(i, minlength=len(score))
        ),
        "ndcg": lambda i: ndcg(score[i], gain[i], None),
        "ndcg_at_100": lambda i: ndcg(score[i], gain[i], 100),
        "spearman": lambda i: spearman_among(score[i], effect[i], ranked[i]),
        "spearman_clear": lambda i: spearman_among(score[i], effect[i], (ranked & clear)[i]),
        "precision_flagged": lambda i: share_among(clear[i], flagged[i]),
        "n_clear": lambda i: float(np.count_nonzero(clear[i])),
    }
    for k in TOPS:
        measures[f"precision_at_{k}"] = at_top(precision_at, score, clear, k)
        measures[f"recall_at_{k}"] = at_top(recall_at, score, clear, k)
    return measures


def ndcg(score: Float64, gain: Float64, k: int | None) -> float:
    """Return the normalised discounted cumulated gain, over the top k or over all.

    The gain of the group at rank r counts 1 / log2(r + 1); tied groups share the mean of
    their gains (McSherry, Najork 2008, "Computing information retrieval performance
    measures efficiently in the presence of tied scores"); the sum is divided by that of the
    best order. The numbers are those of scikit-learn's ``ndcg_score``, which checks its
    input for longer than it computes.

    Parameters
    ----------
    score, gain
        Shape (n,); gains are not negative.
    k
        Ranks that count; None for all.

    Returns
    -------
    float
        In [0, 1]; NaN for fewer than two groups, or where nothing is gained.

    Examples
    --------
    >>> round(ndcg(np.array([3.0, 2.0, 1.0]), np.array([0.0, 1.0, 0.0]), None), 4)
    0.6309
    """
    if len(score) < 2 or not gain.any():
        return float("nan")
    discount = 1.0 / (np.log(np.arange(len(score)) + 2) / np.log(2))
    if k is not None:
        discount[k:] = 0.0
    best = float(discount.dot(np.sort(gain)[::-1, None])[0])
    _, level, count = np.unique(-score, return_inverse=True, return_counts=True)
    mean = np.bincount(level, weights=gain) / count
    up_to = np.cumsum(discount)[np.cumsum(count) - 1]
    return float((mean * np.diff(up_to, prepend=0.0)).sum()) / best
