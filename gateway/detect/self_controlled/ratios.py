"""One rate ratio for each group, from its pairs of time at risk and all other time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from gateway.detect.self_controlled.cases import Pairs
from gateway.detect.self_controlled.ratios_kernels import find_limits, solve_ratios

__all__ = ["Ratios", "estimate_ratios", "likelihood_interval"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Nearer to the mean the saddlepoint formula is 0 / 0.
_CENTRAL = 1e-3
_LEAST_P = 1e-300
# Half the 95 % quantile of chi-squared with one degree of freedom.
_DROP = 0.5 * 1.959964**2


@dataclass(frozen=True, eq=False)
class Ratios:
    """What the pairs of each group say; arrays of shape (n_groups,).

    Parameters
    ----------
    observed, expected
        A, events while exposed, and its mean if the group has no effect.
    variance, clustered
        Of A if the group has no effect: of independent events; of one residual per case.
    log_ratio
        Conditional maximum likelihood estimate, infinite where A is the least or the
        largest possible, NaN without variance.
    gain
        Log-likelihood there, above that at no effect.
    root
        Standard normal if the group has no effect: the inverse normal of the tail
        P(A or more); zero without variance.
    """

    observed: Float64
    expected: Float64
    variance: Float64
    clustered: Float64
    log_ratio: Float64
    gain: Float64
    root: Float64

    @property
    def informative(self) -> npt.NDArray[np.bool_]:
        """Groups of whose joiners some event could have fallen on either side."""
        return self.variance > 0


def _by_group(pairs: Pairs, n_groups: int) -> tuple[Int64, Float64, Float64, Float64]:
    order = np.argsort(pairs.group, kind="stable")
    offsets = np.searchsorted(pairs.group[order], np.arange(n_groups + 1))
    return offsets, pairs.after[order], pairs.events[order], pairs.share[order]


def estimate_ratios(pairs: Pairs, *, n_groups: int) -> Ratios:
    r"""Estimate and test the rate ratio of every group.

    Given n_u, A_u ~ Binomial(n_u, F_u e^theta / (1 - F_u + F_u e^theta)) (Farrington 1995,
    eq. 2, for one exposure); theta hat by Newton. A_g = sum A_u has the mean E_g =
    sum n_u F_u and the variance sum n_u F_u (1 - F_u) at theta = 0: the score test.

    Its normal tail is too short where few events are expected. The tail used instead is
    the saddlepoint approximation of P(sum A_u >= A_g) (Lugannani, Rice 1980; Daniels 1987,
    eq. 6.5, for lattices) in Barndorff-Nielsen's form r* = w + log(u / w) / w, with w the
    signed root of twice the gain and u = (1 - e^-theta) sqrt(K''(theta)); where all
    possible events fall into the exposed time it is exact.

    References
    ----------
    Farrington (1995), "Relative incidence estimation from case series for vaccine safety
    evaluation", Biometrics 51(1). Daniels (1987), "Tail probability approximations",
    Int. Stat. Rev. 55(1).
    """
    solved = np.zeros((n_groups, 7))
    solved[:, 4] = np.nan
    solve_ratios(*_by_group(pairs, n_groups), solved)
    observed, expected, variance, clustered, theta, gain, curvature = (
        np.ascontiguousarray(column) for column in solved.T
    )
    root = _roots(observed, expected, variance, theta, gain, curvature)
    return Ratios(observed, expected, variance, clustered, theta, gain, root)


def _roots(
    observed: Float64, expected: Float64, variance: Float64, theta: Float64, gain: Float64,
    curvature: Float64,
) -> Float64:  # fmt: skip
    with np.errstate(all="ignore"):
        w = np.sign(theta) * np.sqrt(2 * gain)
        u = -np.expm1(-theta) * np.sqrt(curvature)
        root = w + np.log(u / w) / w
        middle = (observed - 0.5 - expected) / np.sqrt(variance)
    root = np.where(np.abs(w) < _CENTRAL, middle, root)
    root = np.where(theta == -np.inf, w, root)
    top = norm.isf(np.maximum(np.exp(-gain), _LEAST_P))
    root = np.where(theta == np.inf, top, root)
    return np.where(variance > 0, root, 0.0)


def likelihood_interval(
    pairs: Pairs, ratios: Ratios, *, scale: npt.ArrayLike = 1.0
) -> tuple[Float64, Float64]:
    """Return the 95 % likelihood interval of every log rate ratio.

    Parameters
    ----------
    pairs, ratios
        The pairs and what ``estimate_ratios`` made of them.
    scale
        Standard deviation of ``root`` where nothing is true, at least 1; one for all
        groups or shape (n_groups,).

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Ends, shape (n_groups,); infinite where no event, or every one, is in the exposed
        time, and without variance.
    """
    n_groups = len(ratios.observed)
    offsets, _, events, share = _by_group(pairs, n_groups)
    drop = np.broadcast_to(_DROP * np.square(scale), n_groups).astype(np.float64)
    low, high = np.full(n_groups, -np.inf), np.full(n_groups, np.inf)
    find_limits(
        offsets, events, share, ratios.observed, ratios.log_ratio, ratios.gain,
        ratios.informative, drop, low, high,
    )  # fmt: skip
    return low, high
