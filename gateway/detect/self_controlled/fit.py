"""The joint fit: effects of all groups, of the position and of the calendar at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.optimize import Bounds, minimize

from gateway.arrays import Float64
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.score.descent import one_blas_thread

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
_ROUNDS, _LONGEST_STRIDE = 30, 16.0
# The two sizes are told apart once the effects stand, from then on by so many steps a round, a
# share of groups within these bounds having the larger one.
_BEFORE_SIZES, _EM_ROUNDS, _SHARES = 2, 200, (1e-4, 0.5)
# Least penalty of one group: it is as good as free.
_FREE = 1e-3
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
        float64, shape (n_groups,): precision of the normal prior on each beta.
    evidence
        Log marginal likelihood of the events, by Laplace's method with a diagonal Hessian.
    evaluations, moved
        Evaluations of the likelihood, and how far any beta moved in the last round.
    """

    point: Point
    information: Float64
    penalty: Float64
    evidence: float
    evaluations: int
    moved: float

    def by_itself(self) -> tuple[Float64, Float64]:
        """Return each log ratio without the prior (about 0) and its standard error.

        Shape (n_groups,). One Newton step: at the mode the data pull with penalty x beta. Zero
        and infinite where the cases say nothing.
        """
        known = self.information > 0
        h = np.where(known, self.information, 1.0)
        estimate = np.where(known, self.point.beta * (1.0 + self.penalty / h), 0.0)
        return estimate, np.where(known, 1.0 / np.sqrt(h), np.inf)


def fit_joint(
    likelihood: Likelihood,
    *,
    penalty: float | None = None,
    centre: Float64 | None = None,
    two_sizes: bool = False,
    rough: bool = False,
) -> JointFit:
    r"""Solve the equations of all groups and of the background.

    The equation of g leaves the tick of g's own join out: events there are no evidence, and
    left in it would count as time without exposure and without event. With l the
    conditional log-likelihood and U_g the score of g without its own tick,

        U_g - penalty_g (beta_g - centre_g) = 0,    dl / d(background) = 0,

    by maximising l + sum_g C_g beta_g with C_g = U_g - dl / d beta_g, computed anew until no
    beta moves by more than 1e-4. Each parameter is scaled by the square root of its
    information.

    The penalty, if it is not given, is MacKay's fixed point of the marginal likelihood with a
    diagonal Hessian: penalty = sum gamma_g / sum (beta_g - centre_g)^2, gamma_g = h_g / (h_g +
    penalty), approached in growing strides, one for all groups, or those of ``Sizes``.

    Parameters
    ----------
    likelihood
        Of the slots.
    penalty
        Positive; None lets the data choose.
    centre
        Prior mean of each beta, shape (n_groups,); 0 by default.
    two_sizes
        Whether most groups may do little and some much: each has a penalty of its own.
    rough
        Whether to stop early, where sets of events are compared.

    References
    ----------
    MacKay (1992), "Bayesian interpolation", Neural Computation 4(3), section 4. Simpson et
    al. (2013), "Multiple self-controlled case series for large-scale longitudinal
    observational databases", Biometrics 69(4).
    """
    slots = likelihood.slots
    centre = np.zeros(slots.n_groups) if centre is None else centre
    point = replace(Point.zero(slots), beta=centre)
    stride = _Stride(_START if penalty is None else penalty)
    value = np.full(slots.n_groups, stride.penalty)
    sizes = None
    own = likelihood.own(point, point.beta)
    curvature = _curvature(likelihood, point)
    evaluations, moved, old = 0, np.inf, value
    for number in range(2 if rough else _ROUNDS):
        correction = np.zeros(len(curvature) + slots.n_groups)
        correction[: slots.n_groups] = (
            own.observed - own.mean[0] + likelihood.loss(point)[1][: slots.n_groups]
        )
        correction[: slots.n_groups] += value * centre
        precision = np.concatenate([value, np.full(len(curvature), BACKGROUND)])
        scale = 1.0 / np.sqrt(np.concatenate([own.variance[0], curvature]) + precision)
        x, n = _minimise(
            likelihood, point.vector(), correction, precision, scale,
            tolerance=1e-6 if rough else max(1e-11, 1e-6 * 0.03**number),
        )  # fmt: skip
        found = Point.of(x, slots)
        evaluations += n
        moved = float(np.abs(found.beta - point.beta).max(initial=0.0))
        point, own = found, likelihood.own(found, found.beta)
        old, off = value, point.beta - centre
        if penalty is None:
            stride = stride.onwards(_chosen(off, own.variance[0], value))
            value = np.full(slots.n_groups, stride.penalty)
        if penalty is None and two_sizes and number >= _BEFORE_SIZES:
            sizes = Sizes.of(off, own.variance[0], old, start=sizes)
            value = sizes.penalty(off, own.variance[0], old)
        settled = np.abs(np.log(value / old)).max(initial=0.0) < _CLOSE
        if moved < _STILL and (settled or sizes is not None):
            break
    # The effects are modes under the penalty of the last round, not under what they then ask for.
    evidence = _evidence(likelihood, point, centre, own.variance[0], old)
    return JointFit(point, own.variance[0], old, evidence, evaluations, moved)


@dataclass(frozen=True)
class _Stride:
    """A penalty on its way to the fixed point, in strides on the log scale.

    Where nothing is to be found the fixed point is far, and each round moves by a few per cent:
    a stride is twice the last one, so long as the direction stays.
    """

    penalty: float
    step: float = 0.0
    length: float = 1.0

    def onwards(self, wanted: float) -> _Stride:
        step = float(np.log(wanted / self.penalty))
        length = min(2.0 * self.length, _LONGEST_STRIDE) if step * self.step > 0 else 1.0
        reached = np.clip(self.penalty * np.exp(length * step), _LEAST, _MOST)
        return _Stride(float(reached), step, length)


@dataclass(frozen=True)
class Sizes:
    """Effects of two sizes: beta_g ~ (1 - share) N(0, small) + share N(0, large).

    Where most groups do nothing and a few do much, one normal prior is a compromise that draws
    the few in; what it takes from them stays in the events and is credited to the groups that
    the same users join afterwards, such as look-alikes whose members a gateway has changed.

    Parameters
    ----------
    share
        Of the groups whose effect is of the larger size.
    small, large
        Variances of both.

    References
    ----------
    Stephens (2017), "False discovery rates: a new deal", Biostatistics 18(2), for posterior
    means under a mixture of normals about 0.
    """

    share: float = 0.1
    small: float = 0.01
    large: float = 0.5

    @classmethod
    def of(
        cls, beta: Float64, information: Float64, penalty: Float64, *, start: Sizes | None = None
    ) -> Sizes:
        """Fit to the estimates that stand behind modes under a penalty, by EM."""
        sizes, known = start or cls(), information > 0
        h = information[known]
        estimate = beta[known] * (1.0 + penalty[known] / h)
        for _ in range(_EM_ROUNDS):
            weight, kept = sizes._weighed(estimate, 1.0 / h)
            square = kept / h + (kept * estimate) ** 2
            total = np.maximum(weight.sum(axis=1), 1e-9)
            small, large = np.clip((weight * square).sum(axis=1) / total, 1 / _MOST, 1 / _LEAST)
            share = float(np.clip(weight[1].mean(), *_SHARES)) if len(h) else sizes.share
            last, sizes = sizes, cls(share, float(small), float(large))
            if abs(sizes.share - last.share) < _CLOSE * last.share:
                break
        return sizes

    def penalty(self, beta: Float64, information: Float64, penalty: Float64) -> Float64:
        """Return the penalties under which the modes are the mixture's posterior means."""
        known = information > 0
        h = information[known]
        weight, kept = self._weighed(beta[known] * (1.0 + penalty[known] / h), 1.0 / h)
        found = np.full(len(beta), 1.0 / self.small)
        found[known] = h * (1.0 / (weight * kept).sum(axis=0) - 1.0)
        return np.asarray(np.clip(found, _FREE, 1.0 / self.small))

    def _weighed(self, estimate: Float64, variance: Float64) -> tuple[Float64, Float64]:
        """Return how probable each size is of each group, and what share of it either keeps."""
        size = np.array([[self.small], [self.large]])
        total = size + variance
        odds = np.log([[1.0 - self.share], [self.share]]) - 0.5 * (
            np.log(total) + estimate**2 / total
        )
        weight = np.exp(odds - odds.max(axis=0))
        return weight / weight.sum(axis=0), size / total


def _evidence(
    likelihood: Likelihood, point: Point, centre: Float64, information: Float64, penalty: Float64
) -> float:
    fitted = likelihood.loss(point)[0] + 0.5 * float(penalty @ (point.beta - centre) ** 2)
    return -fitted - 0.5 * float(np.log1p(information / penalty).sum())


def _chosen(beta: Float64, information: Float64, penalty: Float64) -> float:
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

    options = {"maxiter": 1_000, "ftol": tolerance, "gtol": 1e-5, "maxcor": 20}
    minimised = partial(
        minimize, scaled, begin / scale, jac=True, method="L-BFGS-B", options=options
    )
    ends = np.full(len(begin), np.inf)
    ends[: likelihood.slots.n_groups] = _BOUND
    with one_blas_thread():
        # SciPy takes each bound by itself, which costs more than small fits; few need one.
        found = minimised()
        if np.any(np.abs(found.x * scale) > ends):
            found = minimised(bounds=Bounds(-ends / scale, ends / scale))
    return np.clip(found.x * scale, -ends, ends), int(found.nfev)
