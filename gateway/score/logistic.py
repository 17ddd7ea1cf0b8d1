"""All-prefix logistic regression on the bag of groups, in O(joins) per evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from gateway.score.logistic_kernels import count_later_rows, loss_and_gradient, prefix_logits
from gateway.score.packed import PackedLoss, fit_packed, pack_rows
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits

__all__ = [
    "PENALTIES", "LogisticModel", "LogisticScorer", "PrefixLoss", "best_penalty", "choose_penalty",
]  # fmt: skip

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Work is cut into a fixed number of chunks of users, whatever the number of threads, so
# that sums are made in the same order.
CHUNKS = 16
# Half decades, which is as finely as the held-out loss can tell penalties apart.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
# Share held out, and a factor that makes of the hash another one, unrelated to the folds.
HOLD_OUT = 0.2
HOLD_OUT_SALT = 2.0**20


class PrefixLoss:
    """Penalised log-loss over all training prefixes of some users.

    L(w, b) = sum over training rows of [log(1 + exp(z)) - y z] + penalty / 2 |w|^2, the
    intercept b unpenalised: scikit-learn's ``LogisticRegression`` objective with
    C = 1 / penalty, times penalty, on the matrix with one row for each prefix.

    Parameters
    ----------
    prefixes
        The rows.
    users
        bool, shape (n_users,): whose rows count.
    penalty
        L2 penalty, positive.
    """

    def __init__(self, prefixes: Prefixes, users: Mask, *, penalty: float) -> None:
        self.prefixes, self.users, self.penalty = prefixes, users, penalty
        self._trains = prefixes.trains
        self._bounds = np.linspace(0, prefixes.n_users, CHUNKS + 1).astype(np.int64)
        self._residual = np.empty(len(prefixes.group))
        self._gradient = np.empty((CHUNKS, prefixes.n_groups))
        self._totals = np.zeros((CHUNKS, 2))

    def __call__(self, w: Float64, b: float) -> tuple[float, Float64, float]:
        """Return the loss, its gradient in w (shape (n_groups,)) and its slope in b."""
        self._gradient[:] = 0.0
        p = self.prefixes
        loss_and_gradient(
            p.offsets, p.group, self._trains, p.label, self.users, w, b,
            self._bounds, self._residual, self._gradient, self._totals,
        )  # fmt: skip
        loss, slope = self._totals.sum(axis=0)
        penalty = 0.5 * self.penalty * float(w @ w)
        return float(loss) + penalty, self._gradient.sum(axis=0) + self.penalty * w, float(slope)

    def base_rate(self) -> float:
        """Share of training rows with outcome 1; half a row is added to either side."""
        label = self.prefixes.label[self._trains & self.users[self.prefixes.user()]]
        return (float(label.sum()) + 0.5) / (len(label) + 1.0)

    def curvature(self) -> Float64:
        """Diagonal of the Hessian at w = 0, intercept last, shape (n_groups + 1,)."""
        p, rate = self.prefixes, self.base_rate()
        later = np.zeros(p.n_groups)
        count_later_rows(p.offsets, p.group, self._trains, self.users, later)
        rows = np.count_nonzero(self._trains & self.users[p.user()])
        floor = np.append(np.full(p.n_groups, max(self.penalty, 1e-9)), 1e-9)
        return np.asarray(rate * (1 - rate) * np.append(later, rows) + floor)


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """Fitted weights.

    In a bag-of-groups model the jump of the log-odds at a join *is* the weight of the
    group joined, the same for every user; only the jump of the probability differs.

    Parameters
    ----------
    weights
        float64, shape (n_groups,): log-odds per group; zero for target groups.
    intercept
        Log-odds of the empty prefix.
    penalty
        L2 penalty of the fit.
    evaluations
        Evaluations of the loss that the fit took.
    converged
        Whether the optimiser said so.
    """

    weights: Float64
    intercept: float
    penalty: float
    evaluations: int
    converged: bool

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the running logits of the rows of ``users``."""
        n_rows = len(prefixes.group)
        # Written through by one thread: two that were the first to touch new memory at once
        # have been seen to take six times as long, and the filling costs a fifth.
        logits = Logits(*(np.full(n_rows, 0.0) for _ in range(3)))
        prefix_logits(
            prefixes.offsets, prefixes.group, prefixes.starts_block, prefixes.ends_block,
            users, self.weights, self.intercept, *logits,
        )  # fmt: skip
        return logits


@dataclass(frozen=True)
class LogisticScorer:
    """L2-penalised logistic regression over all prefixes, by L-BFGS.

    Each weight is scaled by the square root of the Hessian's diagonal at the start,
    which cuts the number of evaluations several times over.

    Parameters
    ----------
    penalty
        L2 penalty lambda in lambda / 2 |w|^2, positive. None chooses it among
        ``PENALTIES`` by the log-loss of a fifth of the training users, held out for it by
        a hash of their names, and then fits all of them: the prefixes of a user resemble
        each other, so that the penalty that predicts best is far above what the number of
        rows suggests.
    tolerance
        Relative reduction of the loss at which the optimiser stops.
    packed
        Whether to fit by ``packed.fit_packed``: several times as fast, to the same optimum,
        and so with other last digits. ``tolerance`` is then the relative distance to the
        least loss.

    References
    ----------
    Byrd, Lu, Nocedal, Zhu (1995), "A limited memory algorithm for bound constrained
    optimization", SIAM J. Sci. Comput. 16(5); SciPy's L-BFGS-B.
    """

    penalty: float | None = None
    tolerance: float = 1e-7
    name: str = "logistic"
    packed: bool = False

    def tune(self, prefixes: Prefixes, users: Mask) -> LogisticScorer:
        """Return the scorer with a penalty, chosen on ``users`` alone where it has none."""
        if self.penalty is not None:
            return self
        penalty = choose_penalty(prefixes, users, tolerance=self.tolerance)
        return replace(self, penalty=penalty)

    def fit(self, prefixes: Prefixes, users: Mask) -> LogisticModel:
        """Fit on the training rows of ``users``."""
        penalty = float(self.tune(prefixes, users).penalty or 0.0)
        if self.packed:
            return _fit_packed(prefixes, users, penalty=penalty, tolerance=self.tolerance)
        return _fit(PrefixLoss(prefixes, users, penalty=penalty), tolerance=self.tolerance)


def _fit_packed(
    prefixes: Prefixes, users: Mask, *, penalty: float, tolerance: float
) -> LogisticModel:
    rows = pack_rows(prefixes, (~users).astype(np.int8), 2)
    loss = PackedLoss(rows, np.array([True, False]), penalty=penalty)
    found = fit_packed(loss, tolerance=tolerance)
    return LogisticModel(
        found.x[:-1], float(found.x[-1]), penalty, found.evaluations, found.converged
    )


def choose_penalty(prefixes: Prefixes, users: Mask, *, tolerance: float = 1e-7) -> float:
    """Return the penalty of ``PENALTIES`` with the least log-loss on held-out users.

    A fifth of ``users``, by a hash of their names, is held out. The path runs from the
    strongest penalty to the weakest, each fit starting from the one before, and ends when
    the loss has risen twice in a row.
    """
    held_out = users & (np.modf(prefixes.chance * HOLD_OUT_SALT)[0] < HOLD_OUT)
    outcome = PrefixLoss(prefixes, held_out, penalty=0.0)
    model: LogisticModel | None = None

    def loss_of(penalty: float) -> float:
        nonlocal model
        loss = PrefixLoss(prefixes, users & ~held_out, penalty=penalty)
        model = _fit(loss, tolerance=tolerance, start=model)
        return outcome(model.weights, model.intercept)[0]

    return best_penalty(loss_of)


def best_penalty(loss_of: Callable[[float], float]) -> float:
    """Return the penalty of ``PENALTIES`` with the least loss.

    They are tried from the strongest on, until the loss has risen twice in a row.

    Parameters
    ----------
    loss_of
        Loss on held-out users of the fit with a penalty; it may start from the fit before.
    """
    best, least, risen = PENALTIES[-1], np.inf, 0
    for penalty in reversed(PENALTIES):
        value = loss_of(penalty)
        if value < least:
            best, least, risen = penalty, value, 0
        else:
            risen += 1
        if risen == 2:
            break
    return best


def _fit(
    loss: PrefixLoss, *, tolerance: float, start: LogisticModel | None = None
) -> LogisticModel:
    """Minimise from ``start``, or from zero weights and the base rate."""
    scale = 1.0 / np.sqrt(loss.curvature())
    x0 = np.zeros(len(scale)) if start is None else np.append(start.weights, start.intercept)
    if start is None:
        rate = loss.base_rate()
        x0[-1] = np.log(rate / (1 - rate))

    def scaled(x: Float64) -> tuple[float, Float64]:
        value, gradient, slope = loss(x[:-1] * scale[:-1], float(x[-1] * scale[-1]))
        return value, np.append(gradient, slope) * scale

    # One BLAS thread: a threaded dot product adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        found = minimize(
            scaled, x0 / scale, jac=True, method="L-BFGS-B",
            options={"maxiter": 1_000, "ftol": tolerance, "gtol": 1e-6, "maxcor": 20},
        )  # fmt: skip
    weights = found.x * scale
    return LogisticModel(
        weights[:-1], float(weights[-1]), loss.penalty, int(found.nfev), bool(found.success)
    )
