"""The joint fit: effects of all groups, of the position and of the calendar at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, minimize

from gateway.arrays import Float64
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.score.descent import one_blas_thread

__all__ = ["JointFit", "fit_joint"]


# Where the search for the penalty starts, and its range: a standard deviation of log ratios
# of 2 to 0.01.
_START, _LEAST, _MOST = 50.0, 0.25, 1e4
# Groups that are always joined one after the other are told apart by no event: their
# effects end here, at a ratio of a thousand or a thousandth, rather than nowhere.
_BOUND = 7.0
# Penalties nearer than a hundredth give the same ranking.
_CLOSE = 0.01
# Precision of the background's normal prior: a standard deviation of 10 on the log scale
# holds what no event speaks of, and moves nothing else.
BACKGROUND = 0.01
_ROUNDS = 30
_STILL = 1e-4


@dataclass(frozen=True, eq=False)
class JointFit:
    """Fitted effects.

    Parameters
    ----------
    point
        The parameters; beta is zero for a group that no case joins.
    information
        float64, shape (n_groups,): what the cases say of each beta, its own tick left out.
    penalty
        Precision of the normal prior on beta.
    evidence
        Log marginal likelihood of the events, by Laplace's method with a diagonal Hessian.
    evaluations, moved
        Evaluations of the likelihood, and how far any beta moved in the last round.
    """

    point: Point
    information: Float64
    penalty: float
    evidence: float
    evaluations: int
    moved: float

    def by_itself(self) -> tuple[Float64, Float64]:
        """Return each log ratio without the prior and its standard error, shape (n_groups,).

        One Newton step: at the mode the data pull with penalty x beta. Zero and infinite where
        the cases say nothing.
        """
        known = self.information > 0
        h = np.where(known, self.information, 1.0)
        estimate = np.where(known, self.point.beta * (1.0 + self.penalty / h), 0.0)
        return estimate, np.where(known, 1.0 / np.sqrt(h), np.inf)


def fit_joint(
    likelihood: Likelihood,
    *,
    penalty: float | None = None,
    start: Point | None = None,
    rough: bool = False,
) -> JointFit:
    r"""Solve the equations of all groups and of the background.

    The equation of g leaves the tick of g's own join out: events there are no evidence, and
    left in it would count as time without exposure and without event. With l the
    conditional log-likelihood and U_g the score of g without its own tick,

        U_g - penalty beta_g = 0,    dl / d(background) = 0,

    by maximising l + sum_g C_g beta_g with C_g = U_g - dl / d beta_g, computed anew until no
    beta moves by more than 1e-4. Each parameter is scaled by the square root of its
    information.

    The penalty, if it is not given, is MacKay's fixed point of the marginal likelihood with a
    diagonal Hessian: penalty = sum gamma_g / sum beta_g^2, gamma_g = h_g / (h_g + penalty).

    Parameters
    ----------
    likelihood
        Of the slots.
    penalty
        Positive; None lets the data choose.
    start
        Where to begin; without effects by default.
    rough
        Whether to stop early, where sets of events are compared.

    References
    ----------
    MacKay (1992), "Bayesian interpolation", Neural Computation 4(3), section 4. Simpson et
    al. (2013), "Multiple self-controlled case series for large-scale longitudinal
    observational databases", Biometrics 69(4).
    """
    slots = likelihood.slots
    point = start or Point.zero(slots)
    value = _START if penalty is None else penalty
    own = likelihood.own(point, point.beta)
    curvature = _curvature(likelihood, point)
    evaluations, moved = 0, np.inf
    for number in range(2 if rough else _ROUNDS):
        correction = np.zeros(len(curvature) + slots.n_groups)
        correction[: slots.n_groups] = (
            own.observed - own.mean[0] + likelihood.loss(point)[1][: slots.n_groups]
        )
        precision = np.concatenate(
            [np.full(slots.n_groups, value), np.full(len(curvature), BACKGROUND)]
        )
        scale = 1.0 / np.sqrt(np.concatenate([own.variance[0], curvature]) + precision)
        x, n = _minimise(
            likelihood, point.vector(), correction, precision, scale,
            tolerance=1e-6 if rough else max(1e-11, 1e-6 * 0.03**number),
        )  # fmt: skip
        found = Point.of(x, slots)
        evaluations += n
        moved = float(np.abs(found.beta - point.beta).max(initial=0.0))
        point, own = found, likelihood.own(found, found.beta)
        old = value
        if penalty is None:
            value = _chosen(point.beta, own.variance[0], value)
        if moved < _STILL and abs(np.log(value / old)) < _CLOSE:
            break
    evidence = _evidence(likelihood, point, own.variance[0], value)
    return JointFit(point, own.variance[0], value, evidence, evaluations, moved)


def _evidence(likelihood: Likelihood, point: Point, information: Float64, penalty: float) -> float:
    fitted = likelihood.loss(point)[0] + 0.5 * penalty * float(point.beta @ point.beta)
    return -fitted - 0.5 * float(np.log1p(information / penalty).sum())


def _chosen(beta: Float64, information: Float64, penalty: float) -> float:
    size = float(beta @ beta)
    known = float((information / (information + penalty)).sum())
    return float(np.clip(known / size if size > 0 else _MOST, _LEAST, _MOST))


def _curvature(likelihood: Likelihood, point: Point) -> Float64:
    return np.diag(likelihood.background(point)[1]).clip(0.0)


def _minimise(
    likelihood: Likelihood, begin: Float64, correction: Float64, precision: Float64,
    scale: Float64, *, tolerance: float,
) -> tuple[Float64, int]:  # fmt: skip
    def scaled(y: Float64) -> tuple[float, Float64]:
        x = y * scale
        value, gradient = likelihood.loss(Point.of(x, likelihood.slots))
        value += 0.5 * float(precision @ x**2) - float(correction @ x)
        return value, (gradient + precision * x - correction) * scale

    ends = np.full(len(begin), np.inf)
    ends[: likelihood.slots.n_groups] = _BOUND
    with one_blas_thread():
        found = minimize(
            scaled, begin / scale, jac=True, method="L-BFGS-B",
            bounds=Bounds(-ends / scale, ends / scale),
            options={"maxiter": 1_000, "ftol": tolerance, "gtol": 1e-5, "maxcor": 20},
        )  # fmt: skip
    return np.clip(found.x * scale, -ends, ends), int(found.nfev)
