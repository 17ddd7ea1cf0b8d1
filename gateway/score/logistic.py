"""All-prefix logistic regression on the bag of groups, in O(joins) per evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.arrays import Float64, Int8, Mask
from gateway.score.descent import minimise, one_blas_thread
from gateway.score.logistic_kernels import fill_around
from gateway.score.prefix_loss import (
    STEPS,
    Form,
    PrefixLoss,
    bins_to_steps,
    cells,
    steps_to_bins,
)
from gateway.score.prefix_loss_kernels import CALENDAR
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits

# Half decades, which is as finely as the held-out loss can tell penalties apart.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
# Share held out, and a factor that makes of the hash another one, unrelated to the folds.
HOLD_OUT = 0.2
HOLD_OUT_SALT = 2.0**20
# How much farther from its optimum a fit may end that is only compared with fits at other
# penalties, or only calibrates another.
_LOOSER_PATH, _LOOSER_INNER = 10.0, 100.0
# What is left of a group's weight after one more block. Of .7, .8 and .9 on seven real logs the
# AUC moved by up to .01.
KEEP = 0.9


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """Fitted weights.

    The log-odds after a block are the intercept, the weights of the groups joined so far, each
    times ``form.keep`` for every block since, divided by the root of the sum of squares of those
    factors, and the effects of the covariates. The group's part of the jump at a join is its
    weight divided by that root: the weight itself at a first join, and by and by
    sqrt(1 - keep^2) of it. In the plain bag of groups it is the weight, for every user alike.

    Parameters
    ----------
    weights
        float64, shape (n_groups,): log-odds per group; zero for target groups.
    intercept
        Log-odds of a first join of a group of weight zero, at the start of the calendar.
    effects
        Log-odds of each bin of joins so far, tenure, gap and calendar, in this order; the first
        of each is zero.
    form
        How weights add up, and where the calendar is cut.
    penalty
        L2 penalty of the fit.
    evaluations
        Evaluations of the loss that the fit took.
    converged
        Whether the optimiser said so.
    """

    weights: Float64
    intercept: float
    effects: Float64 = field(default_factory=lambda: steps_to_bins(np.zeros(STEPS)))
    form: Form = field(default_factory=lambda: Form(None, None))
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
) -> None:
    """Fill the log-odds around every row, each user's by one of some models.

    Before a row stand the log-odds as if a group of weight zero were joined in its place: at
    the same covariates, so that the difference is the group's part of the jump. ``which``, shape
    (n_users,), is ``len(models)`` for users whose rows are filled with zeros. With slope and
    intercept of each model's calibrator, ``lines`` of shape (n_models, 2), probabilities are
    filled in place of log-odds.
    """
    n = len(models) + 1
    w, factors = np.zeros((n, prefixes.n_groups)), np.ones((n, 2))
    cuts = np.full((n, CALENDAR - 1), np.iinfo(np.int64).max)
    tables = [cells(model.effects, model.intercept) for model in models]
    # Nobody's model has nothing to look up.
    early, late = (np.stack([*of_models, of_models[0]]) for of_models in zip(*tables, strict=True))
    for k, model in enumerate(models):
        w[k], factors[k] = model.weights, model.form.factors
        if model.form.cuts is not None:
            cuts[k] = model.form.cuts
    given = np.tile([1.0, 0.0], (n, 1)) if lines is None else lines
    fill_around(
        prefixes.offsets, which, prefixes.group, prefixes.time, w, early, late, factors, cuts,
        given, lines is None, *into,
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
    keep
        What is left of a group's weight after one more block, in (0, 1], with the sum divided
        by the root of the sum of squared factors; None: the sum as it is.
    covariates
        Whether logits have effects of the number of joins so far, the time since the first one
        and since the last block, and calendar time, in bins that are steps of a random walk.
    start
        Where fits begin; None for zero weights and the base rate.
    form
        Learnt by ``tune``; None lets a fit learn it.
    """

    penalty: float | None = None
    tolerance: float = 1e-7
    most_rows: int = 8_000_000
    keep: float | None = KEEP
    covariates: bool = True
    start: LogisticModel | None = None
    form: Form | None = None
    name: str = "logistic"

    def tune(self, prefixes: Prefixes, users: Mask) -> LogisticScorer:
        """Return the scorer with a penalty, chosen on ``users`` alone where it has none.

        The path runs from the strongest penalty to the weakest, each fit starting from the one
        before, and ends when the loss on held-out users has risen twice in a row. The fit with
        the penalty chosen is where the scorer begins from then on.
        """
        form = self.form or self._learn_form(prefixes, users)
        if self.penalty is not None:
            return replace(self, form=form)
        share = np.modf(prefixes.chance * HOLD_OUT_SALT)[0]
        part = min(1.0, self.most_rows / max(len(prefixes.group), 1))
        held_out = users & (share < part * HOLD_OUT)
        learnt = users & (share >= HOLD_OUT) & (share < HOLD_OUT + part * (1.0 - HOLD_OUT))
        outcome = PrefixLoss(prefixes, held_out, penalty=0.0, form=form)
        loss = PrefixLoss(prefixes, learnt, penalty=0.0, form=form)
        model, path, losses = self.start, [], []
        for penalty in reversed(PENALTIES):
            model = _fit(loss.at(penalty), tolerance=_LOOSER_PATH * self.tolerance, start=model)
            path.append(model)
            losses.append(_loss_of(outcome, model))
            if len(losses) - int(np.argmin(losses)) > 2:
                break
        best = path[int(np.argmin(losses))]
        return replace(self, penalty=best.penalty, start=best, form=form)

    def _learn_form(self, prefixes: Prefixes, users: Mask) -> Form:
        if self.covariates:
            return Form.learn(prefixes, users, keep=self.keep)
        return Form(self.keep, None)

    def near(self, model: LogisticModel) -> LogisticScorer:
        """Return the scorer for models of most of the same users that only calibrate ``model``.

        They begin at it, and end a hundred times as far from their optimum.
        """
        return replace(self, start=model, tolerance=_LOOSER_INNER * self.tolerance)

    def fit(self, prefixes: Prefixes, users: Mask) -> LogisticModel:
        """Fit on the training rows of ``users``."""
        tuned = self.tune(prefixes, users)
        loss = PrefixLoss(prefixes, users, penalty=float(tuned.penalty or 0.0), form=tuned.form)
        return _fit(loss, tolerance=self.tolerance, start=tuned.start)


def _loss_of(loss: PrefixLoss, model: LogisticModel) -> float:
    """Return the loss of a model, without the penalty of its steps."""
    steps = bins_to_steps(model.effects)
    return loss(model.weights, model.intercept, steps)[0] - loss.penalty_of_steps(steps)


def _fit(loss: PrefixLoss, *, tolerance: float, start: LogisticModel | None) -> LogisticModel:
    """Minimise from ``start``, or from zero weights and the base rate."""
    n = loss.n_groups
    # Without covariates there is nothing to step over.
    free = n + 1 if loss.form.cuts is None else n + 1 + STEPS
    scale = 1.0 / np.sqrt(loss.curvature()[:free])
    x0 = np.zeros(n + 1 + STEPS)
    if start is None:
        rate = loss.base_rate()
        x0[n] = np.log(rate / (1.0 - rate))
    else:
        x0 = np.concatenate([start.weights, [start.intercept], bins_to_steps(start.effects)])

    def scaled(x: Float64) -> tuple[float, Float64]:
        x = x * scale
        steps = x[n + 1 :] if free > n + 1 else None
        value, gradient, slope, by_step = loss(x[:n], float(x[n]), steps)
        return value, np.concatenate([gradient, [slope], by_step])[:free] * scale

    with one_blas_thread():
        found = minimise(scaled, x0[:free] / scale, tolerance=tolerance)
    x0[:free] = found.x * scale
    return LogisticModel(
        x0[:n], float(x0[n]), steps_to_bins(x0[n + 1 :]), loss.form, loss.penalty,
        found.evaluations, found.converged,
    )  # fmt: skip
