"""A detector's ranking against the truth: planted roles, or effects known by replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import false_discovery_control, norm

from gateway.arrays import Float64, Int64, Mask
from gateway.detect import UNRANKED, Detection
from gateway.randomness import Purpose, generator
from gateway.tabular import schema_of, table_of

# A metric as a function of which groups there are: positions, repeated in a bootstrap.
Measure = Callable[[Int64], float]


def average_precision(score: Float64, relevant: Mask, weight: Int64 | None = None) -> float:
    """Return average precision, equal scores taken together; NaN if nothing is relevant.

    Without weights scikit-learn's definition: the mean over relevant groups of the
    precision down to and including their score. With them (a bootstrap's counts) a group
    stands for ``weight`` groups but meets itself only once: resampled copies of a gateway
    that count each other as hits would tilt the bootstrap upwards.

    Examples
    --------
    >>> score, relevant = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0], bool)
    >>> round(average_precision(score, relevant), 4)
    0.8333
    """
    w = np.ones(len(score)) if weight is None else weight.astype(np.float64)
    if not (relevant & (w > 0)).any():
        return float("nan")
    _, level = np.unique(-score, return_inverse=True)
    total = np.cumsum(np.bincount(level, weights=w))[level] - w
    hits = np.cumsum(np.bincount(level, weights=w * relevant))[level] - w
    precision = (1 + hits[relevant]) / (1 + total[relevant])
    return float((w[relevant] * precision).sum() / w[relevant].sum())


def share_at(score: Float64, member: Mask, k: int) -> float:
    """Return the expected share of ``member`` among the top k, ties broken at random.

    Groups that stand above the k-th score count in full; those that tie with it share
    the places that are left. So the order of ties cannot matter.

    Examples
    --------
    >>> share_at(np.array([3.0, 2.0, 2.0]), np.array([True, True, False]), 2)
    0.75
    """
    k = min(k, len(score))
    if k == 0:
        return float("nan")
    edge = np.partition(score, len(score) - k)[len(score) - k]
    above, level = score > edge, score == edge
    left = k - np.count_nonzero(above)
    share_of_level = np.count_nonzero(member & level) / np.count_nonzero(level)
    return float((np.count_nonzero(member & above) + left * share_of_level) / k)


def precision_at(score: Float64, relevant: Mask, k: int) -> float:
    """Return the expected share of relevant groups among the top k."""
    return share_at(score, relevant, k)


def recall_at(score: Float64, relevant: Mask, k: int) -> float:
    """Return the expected share of the relevant groups that are among the top k."""
    n = np.count_nonzero(relevant)
    return share_at(score, relevant, k) * min(k, len(score)) / n if n else float("nan")


def precision_of(score: Float64, relevant: Mask) -> Measure:
    """Bind average precision to one score and one kind of group."""
    return lambda i: average_precision(score, relevant, np.bincount(i, minlength=len(score)))


def at_top(
    measure: Callable[[Float64, Mask, int], float], score: Float64, member: Mask, k: int
) -> Measure:
    """Bind a measure of the top k to one score and one kind of group."""
    return lambda i: measure(score[i], member[i], k)


def share_among(member: Mask, among: Mask) -> float:
    """Return the share of ``member`` in ``among``; NaN where that is empty."""
    n = np.count_nonzero(among)
    return np.count_nonzero(member & among) / n if n else float("nan")


def spearman_among(x: Float64, y: Float64, among: Mask) -> float:
    """Return Spearman's rank correlation within a mask; NaN where it is not defined.

    The number is that of SciPy's ``spearmanr``, which takes ten times as long over a p-value.
    """
    x, y = x[among], y[among]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef([_mean_ranks(x), _mean_ranks(y)])[1, 0])


def _mean_ranks(x: Float64) -> Float64:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, level, count = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1))[level])


def bootstrap_interval(
    measure: Measure, n: int, *, rng: np.random.Generator, draws: int = 500, level: float = 0.95
) -> tuple[float, float]:
    """Return a percentile interval of ``measure`` over resampled groups.

    Efron (1979). ``measure`` takes positions, shape (n,), drawn with replacement. It
    answers for the draw of groups within one world, not for the draw of worlds: that
    needs replicates.
    """
    values = np.array([measure(rng.integers(0, n, size=n)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


EVALUATION_SCHEMA = schema_of(
    "detector string, truth string, metric string, value float64, ci_low float64, ci_high float64"
)
GATEWAY_ROLES = ("influence", "inviter", "recommender")
TOPS = (50, 100)
# Nominal false-discovery rates, percent.
NOMINAL = (5, 10, 20)


def evaluate_planted(
    detection: Detection,
    role: npt.NDArray[np.str_],
    strength: Float64,
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
    score, ranked = by_rank(detection, at)
    measures = _role_measures(score, role[at], strength[at], detection.flagged[at], ranked)
    measures |= _error_rates(detection.q_value[at], np.isin(role[at], GATEWAY_ROLES))
    return measured(measures, len(score), (detection.detector, "planted"), seed, draws)


def evaluation_table(rows: Iterable[tuple[str, str, str, float, float, float]]) -> pa.Table:
    """Return rows of ``EVALUATION_SCHEMA`` as a table; NaN becomes null."""
    return table_of(EVALUATION_SCHEMA, zip(*rows, strict=True))


def by_rank(detection: Detection, at: Mask) -> tuple[Float64, Mask]:
    """Scores that order groups as their ranks do, unranked ones last, and who is ranked."""
    ranked = detection.rank != UNRANKED
    score = -np.where(ranked, detection.rank, len(ranked) + 1)[at].astype(np.float64)
    return score, ranked[at]


def measured(
    measures: Mapping[str, Measure], n: int, head: tuple[str, str], seed: int, draws: int
) -> pa.Table:
    """Every metric with its interval: rows of ``EVALUATION_SCHEMA``, NaN as null."""
    rows = []
    for index, (metric, measure) in enumerate(measures.items()):
        rng = generator(seed, Purpose.BOOTSTRAP, index)
        interval = bootstrap_interval(measure, n, rng=rng, draws=draws)
        rows.append((*head, metric, measure(np.arange(n)), *interval))
    return evaluation_table(rows)


def _role_measures(
    score: Float64, role: npt.NDArray[np.str_], strength: Float64, flagged: Mask, ranked: Mask
) -> dict[str, Measure]:
    """Every metric as a function of which groups there are."""
    gateway = np.isin(role, GATEWAY_ROLES)
    measures: dict[str, Measure] = {"average_precision": precision_of(score, gateway)}
    for k in TOPS:
        measures[f"precision_at_{k}"] = at_top(precision_at, score, gateway, k)
        measures[f"recall_at_{k}"] = at_top(recall_at, score, gateway, k)
        for name in sorted(set(role.tolist()) - set(GATEWAY_ROLES)):
            measures[f"share_{name}_at_{k}"] = at_top(share_at, score, role == name, k)
    measures["spearman_strength"] = lambda i: spearman_among(
        score[i], strength[i], (gateway & ranked)[i]
    )
    measures["n_flagged"] = _count(flagged)
    measures["precision_flagged"] = lambda i: share_among(gateway[i], flagged[i])
    return measures


def _error_rates(q: Float64, gateway: Mask) -> dict[str, Measure]:
    """Calls at each nominal rate, and the share of them that is false."""
    measures: dict[str, Measure] = {}
    if np.isnan(q).all():
        return measures
    for percent in NOMINAL:
        called = np.nan_to_num(q, nan=1.0) < percent / 100
        measures[f"n_called_q{percent:02}"] = _count(called)
        measures[f"false_share_q{percent:02}"] = _false_share(called, gateway)
    return measures


def _count(member: Mask) -> Measure:
    return lambda i: float(np.count_nonzero(member[i]))


def _false_share(called: Mask, gateway: Mask) -> Measure:
    """False-discovery proportion (Benjamini, Hochberg 1995): 0 where nothing is called."""
    return lambda i: 1 - share_among(gateway[i], called[i]) if called[i].any() else 0.0


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
    score, ranked = by_rank(detection, at)
    clear = clear_effects(effect[at], standard_error[at])
    measures = _effect_measures(score, effect[at], clear, ranked, detection.flagged[at])
    return measured(measures, len(score), (detection.detector, truth), seed, draws)


def _effect_measures(
    score: Float64, effect: Float64, clear: Mask, ranked: Mask, flagged: Mask
) -> Mapping[str, Measure]:
    """Every metric as a function of which groups there are."""
    gain = np.where(clear, effect, 0.0)
    measures: dict[str, Measure] = {
        "average_precision": precision_of(score, clear),
        "ndcg": lambda i: ndcg(score[i], gain[i], None),
        "ndcg_at_100": lambda i: ndcg(score[i], gain[i], 100),
        "spearman": lambda i: spearman_among(score[i], effect[i], ranked[i]),
        "spearman_clear": lambda i: spearman_among(score[i], effect[i], (ranked & clear)[i]),
        "precision_flagged": lambda i: share_among(clear[i], flagged[i]),
        "n_clear": _count(clear),
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
