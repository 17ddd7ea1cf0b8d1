"""All groups at once: penalised conditional likelihood, by L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from gateway.detect.self_controlled.cases import Cases, Pairs, select_cases
from gateway.detect.self_controlled.multivariate_kernels import (
    add_by_group,
    count_events,
    fill_information,
    fill_pairs,
    invert_effects,
    loss_and_gradient,
)

__all__ = ["PENALTIES", "ConditionalLoss", "Fit", "adjusted_pairs", "choose_by_bayes",
           "choose_by_validation", "fit_groups"]  # fmt: skip

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Work is cut into a fixed number of chunks of cases, whatever the number of threads, so
# that sums are made in the same order.
CHUNKS = 16
# Rows of which the information is worked out at a time.
_ROWS = 1 << 21
# Half decades, as for the logistic scorer.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)
FOLDS = 5
# Where the search for the penalty starts, and its range: a standard deviation of log rate
# ratios of 32 to 0.01.
_START, _LEAST, _MOST = 50.0, 1e-3, 1e4
_ROUNDS = 20
# Penalties nearer than a hundredth give the same ranking.
_CLOSE = 0.01
_ROUGH = 1e-6


class ConditionalLoss:
    """Negative conditional log-likelihood, plus penalty / 2 |beta|^2.

    Parameters
    ----------
    cases
        The data.
    penalty
        Precision of the normal prior with mean zero.
    """

    def __init__(self, cases: Cases, *, penalty: float) -> None:
        self.cases, self.penalty = cases, penalty
        self._bounds, self._n = _chunks(0, len(cases.user)), _counts(cases)
        self._scratch = _scratch(cases)
        self._gradient = np.empty((CHUNKS, cases.n_groups))
        self._totals = np.zeros(CHUNKS)

    def __call__(self, beta: Float64) -> tuple[float, Float64]:
        """Return the loss and its gradient, shape (n_groups,)."""
        c = self.cases
        loss_and_gradient(
            self._bounds, c.offsets, c.group, c.sign, c.length, c.events, c.first_length,
            self._n, beta, self._scratch[0], self._scratch[1], self._gradient, self._totals,
        )  # fmt: skip
        penalty = 0.5 * self.penalty * float(beta @ beta)
        gradient = self._gradient.sum(axis=0) + self.penalty * beta
        return float(self._totals.sum()) + penalty, gradient

    def information(self, beta: Float64) -> Float64:
        """Return the diagonal of the Hessian, but for the penalty; shape (n_groups,).

        The sums over each group's exposures are made in order of the rows, whatever the
        number of threads.
        """
        c = self.cases
        waning, ratio, total = _inverse(beta), np.exp(beta), np.zeros(c.n_groups)
        cuts = np.searchsorted(c.offsets, np.arange(0, len(c.group), _ROWS))
        for begin, end in pairwise(np.unique(np.append(cuts, len(c.user))).tolist()):
            rows = slice(c.offsets[begin], c.offsets[end])
            each = np.empty(rows.stop - rows.start)
            fill_information(
                _chunks(begin, end), c.offsets, c.group, c.sign, c.partner, c.length,
                c.first_length, self._n, beta, waning, ratio, self._scratch[0], self._scratch[1],
                each,
            )  # fmt: skip
            add_by_group(c.group[rows], each, total)
        return total


def _chunks(begin: int, end: int) -> Int64:
    return np.linspace(begin, end, CHUNKS + 1).astype(np.int64)


def _counts(cases: Cases) -> Float64:
    """Return the number of events of each case."""
    n = np.empty(len(cases.user))
    count_events(cases.offsets, cases.events, cases.first_events, _chunks(0, len(n)), n)
    return n


def _scratch(cases: Cases) -> Float64:
    """Return room for two numbers for each row of the longest case, for each chunk."""
    return np.empty((2, CHUNKS, int(np.diff(cases.offsets).max(initial=0))))


def _inverse(beta: Float64) -> Float64:
    """Return exp(-beta) as the kernels work it out: numpy's last bit may be another."""
    waning = np.empty_like(beta)
    invert_effects(beta, waning)
    return waning


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted log rate ratios.

    Parameters
    ----------
    beta
        float64, shape (n_groups,): mode of the posterior; zero without a joiner.
    information
        float64, shape (n_groups,): diagonal of the Hessian there, without the penalty.
    penalty, evaluations, converged
        Of the fit.
    """

    beta: Float64
    information: Float64
    penalty: float
    evaluations: int
    converged: bool


def fit_groups(
    cases: Cases,
    *,
    penalty: float,
    start: Float64 | None = None,
    tolerance: float = 1e-9,
) -> Fit:
    """Minimise the penalised conditional loss.

    Each beta is scaled by the square root of the Hessian's diagonal at the start. The
    loss is convex, strictly with a penalty: there is one minimum.

    Parameters
    ----------
    cases
        The data.
    penalty
        Not negative. Without a penalty groups whose joiners have no event on one side run
        off to infinity.
    start
        Where to begin; zero by default.
    tolerance
        Relative reduction of the loss at which the optimiser stops.

    References
    ----------
    Simpson et al. (2013), "Multiple self-controlled case series for large-scale
    longitudinal observational databases", Biometrics 69(4); Suchard et al. (2013),
    "Massive parallelization of serial inference algorithms for a complex generalized
    linear model", ACM TOMACS 23(1).
    """
    loss = ConditionalLoss(cases, penalty=penalty)
    begin = np.zeros(cases.n_groups) if start is None else start
    curvature = loss.information(begin)
    scale = 1.0 / np.sqrt(np.maximum(curvature + penalty, 1e-6))

    def scaled(x: Float64) -> tuple[float, Float64]:
        value, gradient = loss(x * scale)
        return value, gradient * scale

    # One BLAS thread: a threaded dot product adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        found = minimize(
            scaled, begin / scale, jac=True, method="L-BFGS-B",
            options={"maxiter": 1_000, "ftol": tolerance, "gtol": 1e-6, "maxcor": 20},
        )  # fmt: skip
    beta = found.x * scale
    information = loss.information(beta)
    return Fit(beta, information, penalty, int(found.nfev), bool(found.success))


def adjusted_pairs(cases: Cases, beta: Float64) -> Pairs:
    """Return each exposure against the case's own events, given the effects of the others.

    ``share`` is the probability that an event falls into the exposed time if the group
    itself had no effect and all others had theirs.
    """
    c, columns = cases, np.zeros((3, len(cases.group)))
    fill_pairs(
        _chunks(0, len(c.user)), c.offsets, c.group, c.sign, c.partner, c.length, c.events,
        c.first_length, _counts(c), beta, _inverse(beta), *_scratch(c), *columns,
    )  # fmt: skip
    row = np.flatnonzero(cases.sign > 0)
    case = np.repeat(np.arange(len(cases.user)), np.diff(cases.offsets))
    after, events, share = columns[:, row]
    return Pairs(cases.group[row].astype(np.int64), case[row], after, events, share)


def choose_by_bayes(cases: Cases) -> Fit:
    r"""Fit with the penalty that the marginal likelihood asks for.

    At its maximum penalty = sum_g gamma_g / sum_g beta_g^2, gamma_g = h_g / (h_g +
    penalty), h the information: MacKay's fixed point with a diagonal Hessian.

    References
    ----------
    MacKay (1992), "Bayesian interpolation", Neural Computation 4(3), section 4.
    """
    fit = fit_groups(cases, penalty=_START, tolerance=_ROUGH)
    for _ in range(_ROUNDS):
        known = fit.information / (fit.information + fit.penalty)
        size = float(fit.beta @ fit.beta)
        wanted = float(known.sum()) / size if size > 0 else _MOST
        penalty = float(np.clip(wanted, _LEAST, _MOST))
        if abs(np.log(penalty / fit.penalty)) < _CLOSE:
            break
        fit = fit_groups(cases, penalty=penalty, start=fit.beta, tolerance=_ROUGH)
    return fit_groups(cases, penalty=fit.penalty, start=fit.beta)


def choose_by_validation(cases: Cases, chance: Float64) -> Fit:
    """Fit with the penalty that predicts best when the events of held-out users fall.

    Parameters
    ----------
    cases
        The data.
    chance
        A number in [0, 1) for each case, from which the five folds are made.
    """
    fold = (chance * FOLDS).astype(np.int64)
    loss = np.zeros(len(PENALTIES))
    for k in range(FOLDS):
        start, others = None, select_cases(cases, fold != k)
        held_out = ConditionalLoss(select_cases(cases, fold == k), penalty=0.0)
        for i in reversed(range(len(PENALTIES))):
            fit = fit_groups(others, penalty=PENALTIES[i], start=start, tolerance=_ROUGH)
            start = fit.beta
            loss[i] += held_out(fit.beta)[0]
    return fit_groups(cases, penalty=PENALTIES[int(np.argmin(loss))])
