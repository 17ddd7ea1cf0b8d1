"""Users far outside the log's own distribution of joins, such as bots."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from gateway.arrays import Int64

__all__ = ["most_usual_joins"]


# So many users of a log would lie beyond the bound if the distribution went on as it began.
_EXPECTED_BEYOND = 0.05
_MIDDLE, _UPPER = 0.5, 0.9
_FEWEST = 100


def most_usual_joins(sizes: Int64) -> float:
    r"""Return the largest number of joins that a user of this log may be expected to have.

    The upper half of the logarithms is taken as that of a normal distribution, with the
    median m and the spread s = (q_90 - m) / 1.2816 of the users with a join. Beyond the bound
    exp(m + s z), z = Phi^-1(1 - .05 / n), fewer than .05 of n users are expected. Medians and
    the ninth decile stay where they are while fewer than a twentieth of the users are bots. In a
    log of short histories the bound is low, in one of long ones high: it is the log's own.

    *When it misleads.* Numbers of joins with a heavier tail than the lognormal have users beyond
    it who are no bots.

    Parameters
    ----------
    sizes
        Number of joins of each user, shape (n_users,).

    Returns
    -------
    float
        Infinite for fewer than 100 users with a join, or where more than half of those are
        alike: then there is no distribution to speak of.
    """
    some = np.log(sizes[sizes > 0])
    if len(some) < _FEWEST:
        return float("inf")
    middle, upper = np.quantile(some, [_MIDDLE, _UPPER])
    spread = (upper - middle) / norm.ppf(_UPPER)
    if spread <= 0:
        return float("inf")
    return float(np.exp(middle + spread * norm.isf(_EXPECTED_BEYOND / len(some))))
