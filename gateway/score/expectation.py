"""What is expected of a join's outcome, whichever group is joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.arrays import Float64, Int8, Int64, Mask
from gateway.log.work import HERE, current_work
from gateway.score.calibration import CHUNKS, CLIP, chunks_of, newton
from gateway.score.expectation_kernels import expectation_sums, expected_rows
from gateway.score.logistic import LogisticModel, fill_linear
from gateway.score.prefixes import POSITION_EDGES, Prefixes
from gateway.score.scorer import Logits

Linear = tuple[Sequence[LogisticModel], Int8]


# Bins whose intercepts the expectation has: joins so far, joins in the same tick, and
# quantiles of calendar time and of the time since the user's first join.
_BLOCK_EDGES = np.array([2, 3, 4, 6, 10])
_CALENDAR_BINS = 30
_TENURE_BINS = 10
_ROWS_PER_BIN = 100
# Rows that are enough to cut time into bins, and to begin the fit on.
MOST_ROWS = 2_000_000
_SALT = 2.0**20


@dataclass(frozen=True, eq=False)
class Expectation:
    """P(outcome of this join | the joins before it, and that there is one more).

    Parameters
    ----------
    edges
        Where bins begin, of blocks before, joins in the block, calendar time and tenure, each
        set's first left out.
    theta
        Coefficient of the logit of the probability before the join, then of each bin.
    """

    edges: tuple[Float64, ...]
    theta: Float64

    def fill(self, prefixes: Prefixes, users: Mask, before: Float64, expected: Float64) -> None:
        """Fill the rows of some users from the probability before each."""
        mine = np.flatnonzero(users)
        expected_rows(
            mine, chunks_of(len(mine)), prefixes.offsets, prefixes.time, prefixes.starts_block,
            before, self.edges, self.theta, np.empty((CHUNKS, 4), np.int64), CLIP, expected,
        )  # fmt: skip


def fit_expectation(
    prefixes: Prefixes, users: Mask, z: Float64, line: Float64, linear: Linear | None = None
) -> Expectation:
    """Learn the expectation from the resolved rows of some users.

    The probability p after i - 1 joins answers for users who may never join again; the
    users who do join again are the active ones, and later in the calendar. Compared with
    p itself, the outcomes of *any* group's joiners look raised. So p is recalibrated on
    the joins themselves: a logistic regression of the outcome on logit p, with an
    intercept for each bin of joins so far, of joins in the same tick, of calendar time
    and of the time since the user's first join. It says nothing about *which* group is
    joined, which is what T_g tests; whatever else differs between the joiners of groups
    (country, age, interests that p has not learnt) it leaves in.

    Time is cut at quantiles of a sample of the users, by a hash of their names, that holds
    about ``MOST_ROWS`` rows; there the fit begins, and ends on all of them.

    Parameters
    ----------
    prefixes
        The rows.
    users
        bool, shape (n_users,): who teaches.
    z
        Logit before each row, out of part, shape (n_rows,).
    line
        Slope and intercept that make log-odds of z, shape (2,).
    linear
        Models that filled z, and which one that of each user: a worker elsewhere is given
        these rather than z.
    """
    p = prefixes
    part = min(1.0, MOST_ROWS / max(len(p.group), 1))
    few = users & (np.modf(p.chance * _SALT)[0] < part)
    time, tenure = _times(p, few)
    edges = expectation_edges(time, tenure)
    # Each set of bins adds up to one: all but the first set do without their first bin.
    first_bins = np.cumsum([1, *(len(edge) + 1 for edge in edges)])
    free = np.ones(first_bins[-1], bool)
    free[first_bins[1:-1]] = False
    theta = np.zeros(len(free))
    theta[0] = 1.0
    for mine in (few, users):
        sums = expectation_gradient(p, np.flatnonzero(mine), z, line, edges, linear)
        theta = newton(sums, theta, free)
    return Expectation(edges, theta)


def _times(p: Prefixes, users: Mask) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Calendar time and tenure of the resolved rows of some users."""
    found = []
    for mine, _, part in p.parts():
        rows = part.resolved & np.repeat(users[mine], np.diff(part.offsets))
        found.append((part.time[rows], part.tenure()[rows]))
    time, tenure = zip(*found, strict=True)
    return np.concatenate(time), np.concatenate(tenure)


def expectation_edges(
    time: npt.NDArray[np.integer[Any]], tenure: npt.NDArray[np.integer[Any]]
) -> tuple[Float64, Float64, Float64, Float64]:
    """Return where bins begin, each set's first left out.

    Of blocks before, joins in the block, calendar time and tenure; the last two are cut at
    quantiles of the rows given, at least 100 of them to a bin.
    """
    calendar, late = (
        int(np.clip(len(time) // _ROWS_PER_BIN, 1, most)) for most in (_CALENDAR_BINS, _TENURE_BINS)
    )
    return (
        POSITION_EDGES.astype(np.float64),
        _BLOCK_EDGES.astype(np.float64),
        np.unique(np.quantile(time, np.arange(1, calendar) / calendar)),
        np.unique(np.quantile(tenure, np.arange(1, late) / late)),
    )


class _Rows:
    """Rows of the users of some chunks, with the logit before each.

    ``logits`` are the logits of all rows, or models that fill them and the model of each user.
    """

    def __init__(
        self, prefixes: Prefixes, users: Int64, bounds: Int64, logits: Float64 | Linear
    ) -> None:
        self._prefixes, self._users, self._bounds = prefixes, users, bounds
        if not isinstance(logits, np.ndarray):
            room = Logits(*(np.empty(len(prefixes.group)) for _ in range(3)))
            fill_linear(prefixes, logits[1], logits[0], room)
            logits = room.before
        self._logits = logits

    def sums(
        self, line: Float64, edges: tuple[Float64, ...], theta: Float64
    ) -> tuple[Float64, Float64]:
        """Gradient and upper Hessian by chunk."""
        p, n, m = self._prefixes, len(self._bounds) - 1, len(theta)
        gradient, hessian = np.empty((n, m)), np.empty((n, m, m))
        expectation_sums(
            self._users, self._bounds, p.offsets, p.time, p.starts_block, p.label, self._logits,
            line, edges, theta, np.empty((n, 4), np.int64), gradient, hessian,
        )  # fmt: skip
        return gradient, hessian


def _cut(
    p: Prefixes, users: Int64, z: Float64, linear: Linear | None
) -> Iterator[tuple[Prefixes, Int64, Int64, Float64 | Linear]]:
    """Share the chunks out: what makes the ``_Rows`` of each worker."""
    workers, bounds = current_work().workers, chunks_of(len(users))
    n = min(workers.count, CHUNKS)
    if workers is HERE:  # z is here, too
        linear = None
    for k in range(n):
        mine = bounds[k * CHUNKS // n : (k + 1) * CHUNKS // n + 1]
        chosen = users[mine[0] : mine[-1]]
        first, last = (int(chosen[0]), int(chosen[-1]) + 1) if len(chosen) else (0, 0)
        rows = slice(int(p.offsets[first]), int(p.offsets[last]))
        logits = z[rows] if linear is None else (linear[0], linear[1][first:last])
        yield p.of_range(first, last), chosen - first, mine - mine[0], logits


def expectation_gradient(
    p: Prefixes,
    users: Int64,
    z: Float64,
    line: Float64,
    edges: tuple[Float64, ...],
    linear: Linear | None = None,
) -> Any:
    """Return the log-loss's gradient and Hessian as a function of the coefficients."""
    kept = current_work().workers.keep(_Rows, _cut(p, users, z, linear))

    def sums(theta: Float64) -> tuple[Float64, Float64]:
        found = zip(*kept.ask(_Rows.sums, line, edges, theta), strict=True)
        gradient, upper = (np.concatenate(each).sum(axis=0) for each in found)
        return gradient, upper + np.triu(upper, 1).T

    return sums
