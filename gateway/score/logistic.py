"""All-prefix logistic regression on the bag of groups, in O(joins) per evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gateway.score.descent import minimise
from gateway.score.logistic_kernels import fill_around
from gateway.score.prefix_loss import PrefixLoss
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits

__all__ = ["PENALTIES", "LogisticModel", "LogisticScorer", "fill_linear"]

Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]

# Half decades, which is as finely as the held-out loss can tell penalties apart.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
# Share held out, and a factor that makes of the hash another one, unrelated to the folds.
HOLD_OUT = 0.2
HOLD_OUT_SALT = 2.0**20
# How much farther from its optimum a fit may end that is only compared with fits at other
# penalties, or only calibrates another.
_LOOSER_PATH, _LOOSER_INNER = 10.0, 100.0


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
    penalty: float = 0.0
    evaluations: int = 0
    converged: bool = True

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the running logits of the rows of ``users``."""
        logits = Logits(*(np.empty(len(prefixes.group)) for _ in range(3)))
        fill_linear(prefixes, (~users).astype(np.int8), [self], logits)
        return logits


def fill_linear(
    prefixes: Prefixes,
    which: Int8,
    models: Sequence[LogisticModel],
    into: Logits,
    *,
    lines: Float64 | None = None,
    first: Float64 | None = None,
) -> None:
    """Fill the log-odds around every row, each user's by one of some models.

    All users in one go, in order: columns are then written line by line of the memory, each
    line once.

    Parameters
    ----------
    prefixes
        The rows.
    which
        int8, shape (n_users,): the model of each user; ``len(models)`` for users whose rows
        are filled with zeros.
    models
        The models.
    into
        Columns to fill, shape (n_rows,) each.
    lines
        Slope and intercept of each model's calibrator, shape (n_models, 2). With it,
        probabilities are filled in place of log-odds.
    first
        Probability before the first block of a user, by model, shape (n_models,); only with
        ``lines``.
    """
    w = np.zeros((len(models) + 1, prefixes.n_groups))
    intercept = np.zeros(len(w))
    for k, model in enumerate(models):
        w[k], intercept[k] = model.weights, model.intercept
    as_logits = lines is None
    if lines is None or first is None:
        lines, first = np.tile([1.0, 0.0], (len(w), 1)), intercept
    fill_around(
        prefixes.offsets, which, prefixes.group, prefixes.starts_block, w, intercept, lines, first,
        as_logits, *into,
    )  # fmt: skip


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
        Relative distance to the least loss at which the optimiser stops, as it estimates it.
    most_rows
        Rows that are enough to choose among penalties half a decade apart: of a longer log
        a sample of the users chooses, by a hash of their names, that holds about so many.
    start
        Where fits begin; None for zero weights and the base rate.
    """

    penalty: float | None = None
    tolerance: float = 1e-7
    most_rows: int = 8_000_000
    start: LogisticModel | None = None
    name: str = "logistic"

    def tune(self, prefixes: Prefixes, users: Mask) -> LogisticScorer:
        """Return the scorer with a penalty, chosen on ``users`` alone where it has none.

        The path runs from the strongest penalty to the weakest, each fit starting from the one
        before, and ends when the loss on held-out users has risen twice in a row. The fit with
        the penalty chosen is where the scorer begins from then on.
        """
        if self.penalty is not None:
            return self
        share = np.modf(prefixes.chance * HOLD_OUT_SALT)[0]
        part = min(1.0, self.most_rows / max(len(prefixes.group), 1))
        held_out = users & (share < part * HOLD_OUT)
        learnt = users & (share >= HOLD_OUT) & (share < HOLD_OUT + part * (1.0 - HOLD_OUT))
        outcome = PrefixLoss(prefixes, held_out, penalty=0.0)
        loss = PrefixLoss(prefixes, learnt, penalty=0.0)
        model, path, losses = self.start, [], []
        for penalty in reversed(PENALTIES):
            model = _fit(loss.at(penalty), tolerance=_LOOSER_PATH * self.tolerance, start=model)
            path.append(model)
            losses.append(outcome(model.weights, model.intercept)[0])
            if len(losses) - int(np.argmin(losses)) > 2:
                break
        best = path[int(np.argmin(losses))]
        return replace(self, penalty=best.penalty, start=best)

    def near(self, model: LogisticModel) -> LogisticScorer:
        """Return the scorer for models of most of the same users that only calibrate ``model``.

        They begin at it, and end a hundred times as far from their optimum.
        """
        return replace(self, start=model, tolerance=_LOOSER_INNER * self.tolerance)

    def fit(self, prefixes: Prefixes, users: Mask) -> LogisticModel:
        """Fit on the training rows of ``users``."""
        tuned = self.tune(prefixes, users)
        loss = PrefixLoss(prefixes, users, penalty=float(tuned.penalty or 0.0))
        return _fit(loss, tolerance=self.tolerance, start=tuned.start)


def _fit(loss: PrefixLoss, *, tolerance: float, start: LogisticModel | None) -> LogisticModel:
    """Minimise from ``start``, or from zero weights and the base rate."""
    scale = 1.0 / np.sqrt(loss.curvature())
    x0 = np.zeros(len(scale)) if start is None else np.append(start.weights, start.intercept)
    if start is None:
        rate = loss.base_rate()
        x0[-1] = np.log(rate / (1.0 - rate))

    def scaled(x: Float64) -> tuple[float, Float64]:
        x = x * scale
        value, gradient, slope = loss(x[:-1], float(x[-1]))
        return value, np.append(gradient, slope) * scale

    # One BLAS thread: a threaded product adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        found = minimise(scaled, x0 / scale, tolerance=tolerance)
    x = found.x * scale
    return LogisticModel(x[:-1], float(x[-1]), loss.penalty, found.evaluations, found.converged)
