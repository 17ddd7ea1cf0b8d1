"""From logits to probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from gateway.score.prefixes import POSITION_EDGES, Prefixes

__all__ = [
    "CLIP", "WEAK", "Calibration", "Calibrator", "expectation_edges", "expectation_features",
    "features_at", "fit_calibrator", "fit_expectation", "fit_line", "time_shares",
]  # fmt: skip

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Calibration = Literal["none", "platt", "isotonic"]
Calibrator = Callable[[Float64], Float64]

# A penalty too weak to be seen (1e-6 in the unit of one row), only so that a bin in which
# every outcome is the same does not send its intercept to infinity.
WEAK = 1e6
# Bins whose intercepts the expectation has: joins so far, joins in the same tick, and
# quantiles of calendar time and of the time since the user's first join.
_BLOCK_EDGES = np.array([2, 3, 4, 6, 10])
_CALENDAR_BINS = 30
_TENURE_BINS = 10
_ROWS_PER_BIN = 100
CLIP = 1e-12


def fit_calibrator(z: Float64, label: npt.NDArray[np.int8], *, method: Calibration) -> Calibrator:
    """Fit a map from logits to probabilities.

    Parameters
    ----------
    z
        Out-of-fold logits, shape (n,).
    label
        Outcomes 0 or 1, shape (n,).
    method
        ``none``: the logistic function. ``platt``: logistic regression on the logit
        (Platt 1999); where its slope is not positive, which happens when there is nothing
        to learn, the base rate for all. ``isotonic``: a monotone step function (Zadrozny,
        Elkan 2002); it can give 0 and 1, which are moved in by half a row, 1 / (2 n).
    """
    if method == "none" or label.min() == label.max():
        return lambda x: np.asarray(expit(x))
    if method == "platt":
        slope, intercept = fit_line(z, label)
        if slope <= 0.0:
            return lambda x: np.full(len(x), float(label.mean()))
        return lambda x: np.asarray(expit(slope * x + intercept))
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(z, label)
    edge = 0.5 / len(z)
    return lambda x: np.clip(isotonic.predict(x), edge, 1 - edge)


def fit_line(z: Float64, label: npt.NDArray[np.int8]) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the outcome on the logit."""
    platt = LogisticRegression(C=WEAK, solver="newton-cholesky").fit(z[:, None], label)
    return float(platt.coef_[0, 0]), float(platt.intercept_[0])


def expectation_features(before: Float64, prefixes: Prefixes, *, fits: Mask) -> csr_array:
    """Return what ``fit_expectation`` learns from, sparse, shape (n_rows, n_features).

    Columns: logit of the probability before the join; an indicator for each bin of blocks
    before it; and, but for the first bin of each, of joins in its own block, of calendar
    time and of the time since the user's first join. Bins of time are cut at quantiles of
    the rows to fit on, ``fits``, with at least 100 of them to a bin.
    """
    _, _, calendar, tenure = expectation_edges(prefixes.time[fits], prefixes.tenure()[fits])
    return features_at(before, prefixes, (calendar, tenure))


def time_shares(count: int) -> tuple[Float64, Float64]:
    """Return at which quantiles calendar time and tenure are cut, for so many rows to fit on."""
    calendar, tenure = (
        int(np.clip(count // _ROWS_PER_BIN, 1, most)) for most in (_CALENDAR_BINS, _TENURE_BINS)
    )
    return np.arange(1, calendar) / calendar, np.arange(1, tenure) / tenure


def features_at(before: Float64, prefixes: Prefixes, cuts: tuple[Float64, Float64]) -> csr_array:
    """Return the columns of ``expectation_features``, time and tenure cut where it is said."""
    z = logit(np.clip(before, CLIP, 1 - CLIP))
    block = np.searchsorted(_BLOCK_EDGES, prefixes.block_size(), side="right")
    parts = [
        csr_array(z[:, None]),
        _indicators(prefixes.position(), len(POSITION_EDGES) + 1),
        _indicators(block, len(_BLOCK_EDGES) + 1)[:, 1:],
        _bins(prefixes.time, cuts[0]),
        _bins(prefixes.tenure(), cuts[1]),
    ]
    return csr_array(hstack(parts, format="csr"))


def _bins(x: npt.NDArray[np.integer[Any]], cuts: Float64) -> csr_array:
    """Indicators of the bins of x but the first."""
    return _indicators(np.searchsorted(cuts, x, side="right"), len(cuts) + 1)[:, 1:]


def _indicators(bin_: npt.NDArray[np.int64], count: int) -> csr_array:
    """One column for each bin, one entry in each row."""
    n = len(bin_)
    ones, starts = np.ones(n), np.arange(n + 1, dtype=np.int32)
    return csr_array((ones, bin_.astype(np.int32), starts), shape=(n, count))


def expectation_edges(
    time: npt.NDArray[np.integer[Any]], tenure: npt.NDArray[np.integer[Any]]
) -> tuple[Float64, Float64, Float64, Float64]:
    """Return where the bins of ``expectation_features`` begin, each set's first left out.

    Of blocks before, joins in the block, calendar time and tenure; the last two are cut at
    quantiles of the rows given.
    """
    calendar, late = time_shares(len(time))
    return (
        POSITION_EDGES.astype(np.float64),
        _BLOCK_EDGES.astype(np.float64),
        np.unique(np.quantile(time, calendar)),
        np.unique(np.quantile(tenure, late)),
    )


def fit_expectation(
    x: csr_array, label: npt.NDArray[np.int8], *, fits: npt.NDArray[np.bool_]
) -> Float64:
    """Return P(outcome of this join | the joins before it, and that there is one more).

    The probability p after i - 1 joins answers for users who may never join again; the
    users who do join again are the active ones, and later in the calendar. Compared with
    p itself, the outcomes of *any* group's joiners look raised. So p is recalibrated on
    the joins themselves: a logistic regression of the outcome on logit p, with an
    intercept for each bin of joins so far, of joins in the same tick, of calendar time
    and of the time since the user's first join. It says nothing about *which* group is
    joined, which is what T_g tests; whatever else differs between the joiners of groups
    (country, age, interests that p has not learnt) it leaves in.

    Parameters
    ----------
    x
        From ``expectation_features``, shape (n, n_features).
    label
        Outcomes, shape (n,).
    fits
        bool, shape (n,): rows to fit on; the answer is for all rows.
    """
    if len(np.unique(label[fits])) < 2:
        return np.full(x.shape[0], float(label[fits].mean()))
    model = LogisticRegression(C=WEAK, solver="newton-cholesky", fit_intercept=False)
    # Bins that are empty among the rows to fit on would make the system singular.
    fitted = x[fits]
    used = np.bincount(fitted.indices, minlength=x.shape[1]) > 0
    if not used.all():
        x, fitted = x[:, used], fitted[:, used]
    model.fit(fitted, label[fits])
    return np.asarray(model.predict_proba(x)[:, 1])
