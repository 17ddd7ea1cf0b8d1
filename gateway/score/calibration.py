"""From logits to probabilities that mean what they say, and to what a join's outcome should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from gateway.arrays import Float64, Int8, Int64, Mask, even_cuts
from gateway.log.work import HERE, current_work, shares
from gateway.score.calibration_kernels import expectation_sums, expected_rows, line_sums
from gateway.score.logistic import LogisticModel, fill_linear
from gateway.score.prefixes import POSITION_EDGES, Prefixes
from gateway.score.scorer import CLIP, Logits

Calibration = Literal["none", "platt", "isotonic"]
Calibrator = Callable[[Float64], Float64]
Linear = tuple[Sequence[LogisticModel], Int8]

# Sums are added chunk by chunk, the same ones whatever the threads.
CHUNKS = 16
_LANES = 256
_NEWTON_STEPS = 50
# Twice the log-likelihood that is left to gain; the estimate's own error is worth one.
_CLOSE = 1e-6
_LONGEST = 2.0
# A penalty too weak to be seen, in the unit of one row, only so that a bin in which every
# outcome is the same does not send its intercept to infinity.
_RIDGE = 1e-6


@dataclass(frozen=True)
class Line:
    """The logistic function of slope x logit + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, z: Float64) -> Float64:
        """Return probabilities of logits, shape (n,)."""
        return np.asarray(expit(self.slope * z + self.intercept))


def fit_calibrator(z: Float64, label: npt.NDArray[np.int8], *, method: Calibration) -> Calibrator:
    """Fit a map from logits to probabilities.

    Parameters
    ----------
    z
        Out-of-fold logits, shape (n,).
    label
        Outcomes, shape (n,): 0, 1, or below zero for rows that do not count.
    method
        ``none``: the logistic function. ``platt``: logistic regression on the logit
        (Platt 1999); where its slope is not positive, which happens when there is nothing
        to learn, the base rate for all. ``isotonic``: a monotone step function (Zadrozny,
        Elkan 2002); it can give 0 and 1, which are moved in by half a row, 1 / (2 n). Its
        rows are copied into memory.
    """
    n, positive = (int(np.count_nonzero(label >= least)) for least in (0, 1))
    if method == "none" or positive in (0, n):
        return Line()
    if method == "isotonic":
        # Late: half a second to load.
        from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

        isotonic = IsotonicRegression(out_of_bounds="clip").fit(z[label >= 0], label[label >= 0])
        edge = 0.5 / n
        return lambda x: np.clip(isotonic.predict(x), edge, 1 - edge)

    def sums(theta: Float64) -> tuple[Float64, Float64]:
        lanes, found = np.empty((CHUNKS, 5, _LANES)), np.empty((CHUNKS, 5))
        line_sums(z, label, even_cuts(len(z), CHUNKS), theta[0], theta[1], lanes, found)
        gs, gi, ss, si, ii = found.sum(axis=0)
        return np.array([gs, gi]), np.array([[ss, si], [si, ii]])

    slope, intercept = newton(sums, np.array([1.0, 0.0]), np.ones(2, bool)).tolist()
    return Line(slope, intercept) if slope > 0.0 else Line(0.0, float(logit(positive / n)))


def newton(
    sums: Callable[[Float64], tuple[Float64, Float64]], start: Float64, free: Mask
) -> Float64:
    """Find where a log-loss is least by Newton's method; variables that are not free stay.

    Along a step the slope of a convex loss grows: where it is steeper uphill at the end than
    it was downhill at the beginning, the step was too long. No variable moves by more than
    ``_LONGEST`` at once: a bin of a few rows would else be thrown to where p is 0 or 1.

    ``sums``: gradient, shape (n,), and Hessian, shape (n, n), at a point.
    """
    x = start.copy()
    gradient, hessian = _with_ridge(sums, x)
    for _ in range(_NEWTON_STEPS):
        step = np.zeros(len(x))
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        slope = -float(gradient @ step)
        if slope <= _CLOSE:
            break
        step *= min(1.0, _LONGEST / np.abs(step).max())
        slope = -float(gradient @ step)
        for _ in range(_NEWTON_STEPS):
            gradient, hessian = _with_ridge(sums, x + step)
            if float(gradient @ step) <= slope:
                break
            step *= 0.5
        x += step
    return x


def _with_ridge(
    sums: Callable[[Float64], tuple[Float64, Float64]], x: Float64
) -> tuple[Float64, Float64]:
    gradient, hessian = sums(x)
    return gradient + _RIDGE * x, hessian + _RIDGE * np.eye(len(x))


# What is expected of a join's outcome, whichever group is joined ----------------------------

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
    """P(outcome of this join | the joins before it, and that there is one more)."""

    # Where bins begin, of blocks before, joins in the block, calendar time and tenure, each
    # set's first left out.
    edges: tuple[Float64, ...]
    theta: Float64  # coefficient of the logit of the probability before, then of each bin

    def fill(self, prefixes: Prefixes, users: Mask, before: Float64, expected: Float64) -> None:
        """Fill the rows of some users from the probability before each."""
        mine = np.flatnonzero(users)
        expected_rows(
            mine, even_cuts(len(mine), CHUNKS), prefixes.offsets, prefixes.time,
            prefixes.starts_block, before, self.edges, self.theta, np.empty((CHUNKS, 4), np.int64),
            CLIP, expected,
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

    ``z`` is the logit before each row, out of part, shape (n_rows,); ``line`` the slope and
    intercept that make log-odds of it. ``linear``: models that filled z, and which one that of
    each user: a worker elsewhere is given these rather than z.
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
    workers, bounds = current_work().workers, even_cuts(len(users), CHUNKS)
    if workers is HERE:  # z is here, too
        linear = None
    for share in shares(CHUNKS):
        mine = bounds[share.start : share.stop + 1]
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
