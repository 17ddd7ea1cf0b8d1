"""From logits to probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

__all__ = ["Calibration", "Calibrator", "expectation_features", "fit_calibrator", "fit_expectation"]

Float64 = npt.NDArray[np.float64]
Calibration = Literal["none", "platt", "isotonic"]
Calibrator = Callable[[Float64], Float64]

# A penalty too weak to be seen (1e-6 in the unit of one row), only so that a bin in which
# every outcome is the same does not send its intercept to infinity.
_WEAK = 1e6
# Bins whose intercepts the expectation has: joins so far, and calendar time in tenths.
_POSITION_EDGES = np.array([1, 2, 3, 4, 6, 9, 13, 20, 40])
_CALENDAR_BINS = 10
_CLIP = 1e-12


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
        (Platt 1999). ``isotonic``: a monotone step function (Zadrozny, Elkan 2002); it
        can give 0 and 1, which are then clipped to 1e-12 from the ends.
    """
    if method == "none" or label.min() == label.max():
        return lambda x: np.asarray(expit(x))
    if method == "platt":
        platt = LogisticRegression(C=_WEAK, solver="newton-cholesky").fit(z[:, None], label)
        slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
        return lambda x: np.asarray(expit(slope * x + intercept))
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(z, label)
    return lambda x: np.clip(isotonic.predict(x), _CLIP, 1 - _CLIP)


def expectation_features(
    before: Float64, position: npt.NDArray[np.int64], time: npt.NDArray[np.int32]
) -> Float64:
    """Return what ``fit_expectation`` learns from, shape (n, n_features).

    Columns: logit of the probability before the join, one for each bin of blocks before
    it, and one for each tenth of calendar time but the first.
    """
    n_position = len(_POSITION_EDGES) + 1
    place = np.searchsorted(_POSITION_EDGES, position, side="right")
    cuts = np.unique(np.quantile(time, np.arange(1, _CALENDAR_BINS) / _CALENDAR_BINS))
    season = np.searchsorted(cuts, time, side="right")
    x = np.zeros((len(before), 1 + n_position + len(cuts)))
    x[:, 0] = logit(np.clip(before, _CLIP, 1 - _CLIP))
    row = np.arange(len(before))
    x[row, 1 + place] = 1.0
    later = season > 0
    x[row[later], n_position + season[later]] = 1.0
    return x


def fit_expectation(
    x: Float64, label: npt.NDArray[np.int8], *, fits: npt.NDArray[np.bool_]
) -> Float64:
    """Return P(outcome of this join | the joins before it, and that there is one more).

    The probability p after i - 1 joins answers for users who may never join again; the
    users who do join again are the active ones, and later in the calendar. Compared with
    p itself, the outcomes of *any* group's joiners look raised. So p is recalibrated on
    the joins themselves: a logistic regression of the outcome on logit p, with an
    intercept for each bin of joins so far and of calendar time. It says nothing about
    *which* group is joined, which is what T_g tests.

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
        return np.full(len(x), float(label[fits].mean()))
    model = LogisticRegression(C=_WEAK, solver="newton-cholesky", fit_intercept=False)
    model.fit(x[fits], label[fits])
    return np.asarray(model.predict_proba(x)[:, 1])
