"""What the data say of each group by itself: estimate, interval and test from one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from gateway.arrays import Float64, Mask
from gateway.detect.self_controlled.fit import BACKGROUND, JointFit
from gateway.detect.self_controlled.likelihood import Likelihood, OwnSums

# exp(30) is beyond any ratio; there the likelihood is flat.
_FAR = 30.0
_ROUNDS = 60
_CLOSE = 1e-5
# Nearer to the estimate the saddlepoint formula is 0 / 0.
_CENTRAL = 0.02
# The background may take so much of what a group tells and no more.
_MOST_SHARED = 0.98
_SIDE = 1.959964
# With less variance a statistic is too coarse to judge the bulk by, and with fewer groups
# there is none.
_COARSE, _FEWEST = 2.0, 50


@dataclass(frozen=True, eq=False)
class OwnEffects:
    """Each group's own evidence, without a prior; arrays of shape (n_groups,).

    Parameters
    ----------
    observed, expected
        Events while exposed, and their mean without an effect of the group.
    n_cases
        Joiners whose events could have fallen on either side.
    variance
        Of the score without an effect: of the events, less what the background explains.
    dispersion
        Factor by which events of one user that go together, and the bulk of all groups, widen
        that variance, at least 1.
    log_ratio, ci_low, ci_high
        Maximum of the likelihood and ends of the 95 % interval; infinite where events are
        on one side alone, NaN where the group cannot be tested.
    error
        Standard error of ``log_ratio``; NaN where it is not finite.
    z
        Standard normal without an effect; NaN where the group cannot be tested.
    """

    observed: Float64
    expected: Float64
    n_cases: Float64
    variance: Float64
    dispersion: Float64
    log_ratio: Float64
    ci_low: Float64
    ci_high: Float64
    error: Float64
    z: Float64

    @property
    def informative(self) -> Mask:
        """Groups of whose joiners some event could have fallen on either side."""
        return self.variance > 0


@dataclass(frozen=True, eq=False)
class _Profile:
    """Log-likelihood of each group's theta with the background following, and its root.

    Parameters
    ----------
    observed
        A, moved by what the background took up while the prior held beta back.
    kept
        Share of the information that the background does not take up.
    scale
        Standard deviation of the root.
    top, estimate, curvature
        Largest log-likelihood, where it is, and K'' there.
    """

    observed: Float64
    kept: Float64
    scale: Float64
    top: Float64
    estimate: Float64
    curvature: Float64

    def root(self, theta: Float64, cumulant: Float64, mean: Float64, variance: Float64) -> Float64:
        """Return the statistic of the hypothesis that the log ratio is ``theta``.

        Barndorff-Nielsen's r* = w + log(u / w) / w, without a correction for whole numbers:
        the tail at A counts half of P(A), so that p-values have the mean 1/2.
        """
        drop = self.top - (theta * self.observed - cumulant)
        w = np.sign(self.estimate - theta) * np.sqrt(2 * self.kept * np.maximum(drop, 0.0))
        with np.errstate(all="ignore"):
            u = (self.estimate - theta) * np.sqrt(self.kept * self.curvature)
            root = w + np.log(u / w) / w
            middle = (self.observed - mean) * np.sqrt(self.kept / variance)
            edge = np.sign(w) * norm.isf(0.5 * np.exp(-0.5 * w**2))
        root = np.where(np.abs(w) < _CENTRAL, middle, root)
        return np.asarray(np.where(np.abs(self.estimate) >= _FAR, edge, root) / self.scale)


def own_effects(
    likelihood: Likelihood, fit: JointFit, *, bulk: bool = False, tested: Mask | None = None
) -> OwnEffects:
    r"""Estimate and test the log ratio of every group, the others' effects held.

    Of each case A of the n events that are not in the tick of g's own join fall into the
    exposed slots; with the others' effects held their distribution is known for any theta.
    K is the sum of the cumulant functions of A, l(theta) = theta A - K(theta).

    *Background.* It was fitted while the prior held beta_g at b. With V = K''(b), and D =
    B' I^-1 B what the background (its information is I) shares with g, its own answer to
    theta adds D (theta - b)^2 / 2 to l. With D a constant share d of K'' that is

        l_p(theta) = (1 - d) [ theta A* - K(theta) ],  A* = K'(b) + (A - K'(b)) / (1 - d):

    the efficient score test at 0, and the joint maximum where there is no prior.

    *Events of one user.* Under an intraclass correlation rho of the events of a case,
    Var A = K'' (1 + (n - 1) rho). One rho is estimated by moments from the squared residuals
    of all groups, at least 0, and widens the test and the interval of each by its own n.

    *The bulk.* With ``bulk`` all is widened by ``bulk_scale``: what makes the statistics of
    the many groups without effect spread wider than this model knows, such as users with
    trends of their own.

    Only groups that are ``tested``, bool of shape (n_groups,), have a test; all by default.

    *One story.* ``log_ratio`` is the maximum of l_p, ``z`` the root r* of theta = 0 and the
    interval all theta whose root is within 1.96: it leaves out 0 where the two-sided p-value
    is below .05.

    References
    ----------
    Barndorff-Nielsen, Cox (1994), "Inference and asymptotics", section 6.6. Davison (1988),
    "Approximate conditional inference in generalized linear models", J. R. Stat. Soc. B
    50(3). Williams (1982), "Extra-binomial variation in logistic linear models", Appl.
    Stat. 31(2), for the intraclass correlation.
    """
    point = fit.point
    at_fit = likelihood.own(point, np.stack([np.zeros_like(point.beta), point.beta]))
    known = at_fit.variance[0] * (True if tested is None else tested)
    informative = known > 0
    shared = _shared(likelihood, fit, at_fit.variance[1])
    dispersion = _dispersion(at_fit)
    observed = at_fit.mean[1] + (at_fit.observed - at_fit.mean[1]) / (1 - shared)

    def sums(theta: Float64) -> OwnSums:
        return likelihood.own(point, theta)

    estimate = _solve_mean(sums, observed, at_fit, point.beta)
    there = sums(estimate)
    clipped = np.clip(observed, at_fit.least, at_fit.most)
    profile = _Profile(
        observed=clipped,
        kept=1 - shared,
        scale=np.sqrt(dispersion),
        top=estimate * clipped - there.cumulant[0],
        estimate=estimate,
        curvature=there.variance[0],
    )
    z = profile.root(
        np.zeros_like(estimate), at_fit.cumulant[0], at_fit.mean[0], at_fit.variance[0]
    )
    if bulk:
        scale = bulk_scale(z[informative], at_fit.variance[0][informative])
        dispersion, z = dispersion * scale**2, z / scale
        profile = replace(profile, scale=np.sqrt(dispersion))
    with np.errstate(divide="ignore"):
        error = np.sqrt(dispersion / ((1 - shared) * there.variance[0]))
    low, high = _limits(sums, profile, np.where(informative, error, 1.0))
    finite = informative & (np.abs(estimate) < _FAR)

    def shown(values: Float64, where: Mask = informative) -> Float64:
        return np.where(where, values, np.nan)

    return OwnEffects(
        observed=at_fit.observed,
        expected=at_fit.mean[0],
        n_cases=at_fit.n_cases,
        variance=known * (1 - shared),
        dispersion=dispersion,
        log_ratio=shown(_unbounded(estimate)),
        ci_low=shown(_unbounded(low)),
        ci_high=shown(_unbounded(high)),
        error=shown(error, finite),
        z=shown(z),
    )


def bulk_scale(z: Float64, variance: Float64) -> float:
    """Return how much wider than the standard normal the statistics of the bulk are spread.

    sqrt(2 mean(min(z - median, 0)^2)) of the groups in which two events' worth of variance
    can be told, at least 1; 1 for fewer than 50 of them. Most groups have no effect, and
    effects are upwards: the lower half is that of the null, gateways or not.

    *When it misleads.* Many groups that keep people from targets widen it, and calls are lost.

    Parameters
    ----------
    z, variance
        Of the groups that can be tested, shape (n,).

    References
    ----------
    Efron (2004), "Large-scale simultaneous hypothesis testing: the choice of a null
    hypothesis", J. Am. Stat. Assoc. 99(465), whose centre this is, from one side.
    """
    some = z[variance >= _COARSE]
    if len(some) < _FEWEST:
        return 1.0
    below = np.minimum(some - np.median(some), 0.0)
    return float(max(1.0, np.sqrt(2.0 * np.mean(below**2))))


def _unbounded(theta: Float64) -> Float64:
    return np.asarray(np.where(np.abs(theta) >= _FAR, np.sign(theta) * np.inf, theta))


def _shared(likelihood: Likelihood, fit: JointFit, variance: Float64) -> Float64:
    """Return the share of each group's information that the background takes up."""
    cross, own = likelihood.background(fit.point)
    own[np.diag_indices_from(own)] += BACKGROUND
    taken = np.einsum("ga,ga->g", cross, np.linalg.solve(own, cross.T).T)
    share = np.divide(taken, variance, out=np.zeros_like(taken), where=variance > 0)
    return np.asarray(np.clip(share, 0.0, _MOST_SHARED))


def _dispersion(sums: OwnSums) -> Float64:
    """Return 1 + rho (n - 1), weighted over each group's cases, rho from all groups."""
    squares, variance, excess = sums.squares[1], sums.variance[1], sums.excess[1]
    total = float(excess.sum())
    rho = max(float((squares - variance).sum()) / total, 0.0) if total > 0 else 0.0
    usual = np.divide(excess, variance, out=np.zeros_like(excess), where=variance > 0)
    return np.asarray(1.0 + rho * usual)


def _solve_mean(
    sums: Callable[[Float64], OwnSums], observed: Float64, at_fit: OwnSums, begin: Float64
) -> Float64:
    """Return theta with K'(theta) = observed, by Newton inside a shrinking bracket.

    It is -30 or 30 where no theta reaches the observed number.
    """
    theta = begin.copy()
    theta[observed <= at_fit.least] = -_FAR
    theta[observed >= at_fit.most] = _FAR
    going = (at_fit.variance[0] > 0) & (np.abs(theta) < _FAR)
    theta[~going & (np.abs(theta) < _FAR)] = 0.0
    low, high = np.full((2, len(theta)), [[-_FAR], [_FAR]])
    mean, variance = at_fit.mean[1], at_fit.variance[1]
    for _ in range(_ROUNDS):
        low = np.where(mean < observed, theta, low)
        high = np.where(mean < observed, high, theta)
        new = _inside(theta + (observed - mean) / np.maximum(variance, 1e-12), low, high)
        moved = np.where(going, new - theta, 0.0)
        theta = theta + moved
        going &= np.abs(moved) > _CLOSE
        if not going.any():
            break
        found = sums(theta)
        mean, variance = found.mean[0], found.variance[0]
    return theta


def _inside(wanted: Float64, low: Float64, high: Float64) -> Float64:
    return np.where((wanted > low) & (wanted < high), wanted, 0.5 * (low + high))


def _limits(
    sums: Callable[[Float64], OwnSums], profile: _Profile, error: Float64
) -> tuple[Float64, Float64]:
    """Return where the root is 1.96 and -1.96, by Newton inside a shrinking bracket."""
    side = np.array([[-1.0], [1.0]])
    low = np.where(side < 0, -_FAR, np.minimum(profile.estimate, _FAR))
    high = np.where(side < 0, np.maximum(profile.estimate, -_FAR), _FAR)
    theta = _inside(profile.estimate + side * _SIDE * np.minimum(error, _FAR), low, high)
    going = np.ones(theta.shape, bool)
    for _ in range(_ROUNDS):
        found = sums(theta)
        values = found.cumulant, found.mean, found.variance
        root = profile.root(theta, *values)
        above = root > -side * _SIDE
        low, high = np.where(above, theta, low), np.where(above, high, theta)
        with np.errstate(all="ignore"):
            w = root * profile.scale
            slope = profile.kept * (profile.observed - found.mean[:]) / (w * profile.scale)
            step = np.where(slope != 0, (root + side * _SIDE) / slope, np.nan)
        new = _inside(theta + step, low, high)
        moved = np.where(going, new - theta, 0.0)
        theta = theta + moved
        going &= np.abs(moved) > _CLOSE
        if not going.any():
            break
    edge = _FAR - 0.1
    return (
        np.where(theta[0] < -edge, -_FAR, theta[0]), np.where(theta[1] > edge, _FAR, theta[1])
    )  # fmt: skip
