"""Cross-fitting: every user is scored by a model that never saw that user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import logit
from threadpoolctl import threadpool_limits

from gateway._numba import threads_at_most
from gateway.arrays import Float64, Int8, Mask
from gateway.errors import GatewayError, LogError, Problem
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.messages import did_you_mean, shown
from gateway.randomness import name_uniforms
from gateway.score.adapter import as_scorer
from gateway.score.calibration import CLIP, Calibration, Calibrator, Line, fit_calibrator
from gateway.score.expectation import Expectation, fit_expectation
from gateway.score.expectation_kernels import first_outcomes, training_outcomes
from gateway.score.logistic import LogisticModel, LogisticScorer, fill_linear
from gateway.score.prefixes import Prefixes, build_prefixes, columns_in
from gateway.score.quality import Quality, measure_baselines, measure_scores
from gateway.score.scorer import Logits, Model, Scorer
from gateway.tabular import Rows
from gateway.targets import TargetSet, as_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["INNER_FOLDS", "Scores", "assign_folds", "score_joins"]

# Parts into which the training users of a fold are cut to calibrate.
INNER_FOLDS = 3
# A kernel of fewer rows is done before a second thread is awake.
_ROWS_PER_THREAD = 100_000
_COLUMNS = ("before", "after", "expected", "at_end")


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """P(target within the horizon) around every join at risk.

    The columns are arrays in memory, or mapped from files in a scratch folder.

    Parameters
    ----------
    prefixes
        The rows that the arrays below speak of.
    before
        Probability without the join's group, shape (n_rows,). Of the logistic scorer: at the
        same time and number of joins, a group of weight zero in its place, so that ``after``
        less ``before`` is the group's part of the jump. Of any other: after the joins before
        its block; before a user's first block, the base rate of the training users' first ones.
    after
        Probability after the join, shape (n_rows,).
    expected
        ``before``, recalibrated for there being one more join: the probability that the
        outcomes of a group's joiners are held against.
    at_end
        Probability after the whole block, shape (n_rows,).
    fold
        int8, shape (n_users,).
    quality
        Measures of ``at_end`` against the outcomes, out of fold, and of trivial predictors.
    scorer
        Name of the scorer.
    log, targets
        What was scored; None in a part of the scores.
    learnt
        What scored the users of each fold; empty in a part.
    """

    prefixes: Prefixes
    before: Float64
    after: Float64
    expected: Float64
    at_end: Float64
    fold: npt.NDArray[np.int8]
    quality: tuple[Quality, ...]
    scorer: str
    log: JoinLog | None = None
    targets: TargetSet | None = None
    learnt: tuple[Learnt, ...] = ()

    def __repr__(self) -> str:
        auc = next((f", AUC {q.value:.3f}" for q in self.quality if q.metric == "auc"), "")
        n = len(self.prefixes.group)
        return f"<Scores by {self.scorer}: {n:,} joins of {self.prefixes.n_users:,} users{auc}>"

    def user(self, name: str) -> Rows:
        """Return P(target) of one user around each join.

        Parameters
        ----------
        name
            Of a user of the log.

        Returns
        -------
        Rows
            ``position``, ``time``, ``group``, ``before`` and ``after``; a row for each join up
            to and with the first target join, which has no probability. ``to_pandas()``,
            ``to_polars()`` and ``to_arrow()`` give it as a table.

        Raises
        ------
        GatewayError
            If the log has no such user.
        """
        if self.log is None or self.targets is None:
            raise GatewayError("scores of some users alone do not know the users' names")
        joins = self.log
        u = pc.index(joins.users, str(name)).as_py()
        if u < 0:
            hint = did_you_mean(str(name), joins.users.to_pylist())
            raise GatewayError(
                str(Problem("user", "must be one of the log", shown(name), hint=hint))
            )
        i = slice(*self.prefixes.offsets[u : u + 2])
        mine = np.arange(joins.offsets[u], joins.offsets[u + 1])
        reached = mine[self.targets.mask[joins.group[mine]]][:1]
        at = np.concatenate([self.prefixes.join[i], reached])
        gap = [None] * len(reached)
        table = pa.table({
            "position": np.arange(1, len(at) + 1), "time": joins.when(joins.time[at]),
            "group": joins.groups.take(pa.array(joins.group[at])),
            "before": pa.array([*self.before[i].tolist(), *gap], pa.float64()),
            "after": pa.array([*self.after[i].tolist(), *gap], pa.float64()),
        })  # fmt: skip
        return Rows(table, f"joins of user {shown(name)}")

    def plot_user(self, name: str, ax: Axes | None = None) -> Axes:
        """Draw P(target) of one user, join by join.

        Parameters
        ----------
        name
            Of a user of the log.
        ax
            Where to draw; by default a new figure of pyplot.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on.

        Raises
        ------
        GatewayError
            If the log has no such user, or the user's first join is of a target.
        """
        from gateway.notebook import plot_user  # noqa: PLC0415  (it draws on the layers above)

        return plot_user(self, name, ax)

    def score_new(self, joins: JoinLog) -> Scores:
        """Score users of another log by what was learnt from this one.

        Parameters
        ----------
        joins
            Joins of users who are new, in the same unit of time. Joins of groups that the first
            log does not have say nothing, and are left out.

        Returns
        -------
        Scores
            The mean of what the models of all folds say; without ``quality``. Of a user who was
            in the first log too this is no held-out score.

        Raises
        ------
        GatewayError
            If the units of time differ, or no join is of a group that is known.
        """
        if self.log is None or self.targets is None or not self.learnt:
            raise GatewayError("scores of some users alone cannot score others")
        here = _numbered_as(joins, self.log)
        prefixes = build_prefixes(here, self.targets)
        n = len(prefixes.group)
        columns: dict[str, Any] = {name: np.zeros(n) for name in _COLUMNS}
        everybody = np.ones(prefixes.n_users, np.bool_)
        for one in self.learnt:
            room = Logits(*(np.empty(n) for _ in range(3)))
            expected = np.empty(n)
            _fill(prefixes, np.zeros(prefixes.n_users, np.int8), [one], room)
            one.expectation.fill(prefixes, everybody, room.before, expected)
            for name, found in {**room._asdict(), "expected": expected}.items():
                columns[name] += found / len(self.learnt)
        fold = np.zeros(prefixes.n_users, np.int8)
        return replace(self, prefixes=prefixes, **columns, fold=fold, quality=(), log=here)

    def of_users(self, chosen: Mask) -> Scores:
        """Return the scores of some users alone; ``chosen``: bool, shape (n_users,)."""
        row = np.repeat(chosen, np.diff(self.prefixes.offsets))
        columns = {name: getattr(self, name)[row] for name in _COLUMNS}
        return replace(
            self, prefixes=self.prefixes.of_users(chosen), fold=self.fold[chosen], log=None,
            targets=None, learnt=(), **columns,
        )  # fmt: skip

    def parts(self) -> Iterator[tuple[slice, Scores]]:
        """Yield rows and the scores of some users after those of others, as ``Prefixes.parts``."""
        for users, rows, prefixes in self.prefixes.parts():
            columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
            part = replace(self, prefixes=prefixes, fold=self.fold[users], log=None, **columns)
            yield rows, replace(part, targets=None, learnt=())


def _numbered_as(joins: JoinLog, first: JoinLog) -> JoinLog:
    """Return the joins of groups that another log has, with its numbers and its origin."""
    if joins.tick != first.tick:
        rule = f"must count in the unit of the log that was learnt from, the {first.tick}"
        raise LogError(str(Problem("the joins", rule, f"the {joins.tick}")))
    known = pc.index_in(joins.groups, value_set=first.groups).fill_null(-1).to_numpy()
    group = known[joins.group]
    kept = group >= 0
    if not kept.any():
        raise LogError("some join must be of a group of the log that was learnt from; none is")
    shift = joins.origin - first.origin
    return JoinLog.from_arrays(
        joins.user()[kept], group[kept], joins.time[kept].astype(np.int64) + shift,
        users=joins.users, groups=first.groups, tick=first.tick, origin=first.origin,
    )  # fmt: skip


def assign_folds(joins: JoinLog, *, folds: int, seed: int) -> npt.NDArray[np.int8]:
    """Assign users to folds by a hash of their names, shape (n_users,).

    The fold of a user depends on the name, the seed and the number of folds alone: not
    on the order of the rows, nor on who else is in the log.
    """
    return (name_uniforms(joins.users, seed=seed) * folds).astype(np.int8)


def score_joins(
    joins: JoinLog,
    targets: TargetSet | str | Sequence[str],
    *,
    scorer: Scorer | str | Any | None = None,
    horizon: Duration | None = None,
    folds: int = 5,
    calibration: Calibration = "platt",
    seed: int = 1,
    scratch: Path | None = None,
) -> Scores:
    """Score every user after every join, cross-fitted by user.

    Parameters
    ----------
    joins, targets
        The log, and the target set or the names of the target groups.
    scorer
        What learns: ``"logistic"`` (the default), ``"boosted"`` or ``"markov"``, a name that an
        installed package brings as entry point of ``gateway.scorers``, a ``Scorer`` of
        ``gateway.score``, or any classifier of scikit-learn with ``predict_proba``.
    horizon
        Time within which a target join counts: ``"180d"``, a ``timedelta``, or a number
        of ticks in a log of days or integers; None for any later one.
    folds
        Number of folds, 2 to 50.
    calibration
        ``none``, ``platt`` or ``isotonic``; learnt among the other folds' users alone.
    seed
        Seed of the folds.
    scratch
        Folder for the columns, about 60 bytes a join, which whoever made it removes; with the
        logistic scorer and ``none`` or ``platt``, memory then holds a few bytes for each join.
        None for columns in memory. The scores are the same bits.

    Returns
    -------
    Scores
        ``user(name)`` and ``plot_user(name)`` show one user, ``score_new(joins)`` scores others.

    Raises
    ------
    LogError
        When the horizon is no duration of this log, or some fold's training users show
        only one outcome, so that nothing can be learnt.

    Notes
    -----
    A score of a join depends on that user's joins up to it, and on the users of the other
    folds: penalty, weights, calibrator and expectation are all learnt from those alone.
    Truncation at the first target join means that nobody is scored after it.
    """
    targets, scorer = as_targets(joins, targets), as_scorer(scorer)
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    new_column = columns_in(scratch)
    prefixes = build_prefixes(joins, targets, horizon=ticks, seed=seed, new_column=new_column)
    fold = (prefixes.chance * folds).astype(np.int8)
    _check_outcomes(prefixes, fold)
    n = len(prefixes.group)
    columns = {name: new_column(name, np.float64, n) for name in _COLUMNS}
    room = Logits(columns["before"], columns["after"], columns["at_end"])
    outcome = new_column("outcome", np.int8, n)
    learnt: list[Learnt] = []
    # One BLAS thread: a threaded sum adds in another order.
    with (
        threadpool_limits(limits=1, user_api="blas"),
        threads_at_most(max(1, n // _ROWS_PER_THREAD)),
    ):
        present = np.unique(fold)
        for k in present:
            tuned = scorer.tune(prefixes, fold != k)
            learnt.append(_learn(prefixes, fold != k, folds, tuned, calibration, room, outcome))
    _fill(prefixes, np.searchsorted(present, fold).astype(np.int8), learnt, room)
    for k, one in zip(present, learnt, strict=True):
        one.expectation.fill(prefixes, fold == k, columns["before"], columns["expected"])
    quality = measure_scores(prefixes, columns["at_end"], fold, new_column=new_column)
    quality += measure_baselines(prefixes, columns["at_end"], fold, new_column=new_column)
    return Scores(
        prefixes, **columns, fold=fold, quality=quality, scorer=scorer.name, log=joins,
        targets=targets, learnt=tuple(learnt),
    )  # fmt: skip


def _check_outcomes(prefixes: Prefixes, fold: Int8) -> None:
    """Every fold's training users must show both outcomes."""
    counts = np.zeros((2, 128), np.int64)
    for users, _, part in prefixes.parts():
        trains, row_fold = part.trains, np.repeat(fold[users], np.diff(part.offsets))
        for outcome in (0, 1):
            counts[outcome] += np.bincount(
                row_fold[trains & (part.label == outcome)], minlength=128
            )
    for k in np.unique(fold):
        negative, positive = (int(count) for count in counts.sum(axis=1) - counts[:, k])
        if not negative or not positive:
            rows = negative + positive
            only = f"only outcome {int(positive > 0)}" if rows else "no resolved outcome"
            raise LogError(
                "the log cannot teach a classifier: leaving out one fold of users leaves "
                f"{rows:,} scored prefixes with {only}; needed are users who joined a "
                "target after some other group, and users who did not, within the horizon"
            )


@dataclass(frozen=True, eq=False)
class Learnt:
    """What scores the users of a fold.

    ``base``: probability before a user's first block, where the model does not know it.
    """

    model: Model
    calibrate: Calibrator
    base: float
    expectation: Expectation


def _learn(
    prefixes: Prefixes,
    training: Mask,
    folds: int,
    scorer: Scorer,
    calibration: Calibration,
    room: Logits,
    outcome: Int8,
) -> Learnt:
    """Learn what scores the users of a fold from all others.

    The calibrator and the expectation are learnt from logits that the training users got
    out of fold among themselves, so that nothing of the held-out users enters anything.
    ``room`` and ``outcome`` are columns to work in.
    """
    model = scorer.fit(prefixes, training)
    part = (np.modf(prefixes.chance * folds)[0] * INNER_FOLDS).astype(np.int8)
    if isinstance(scorer, LogisticScorer) and isinstance(model, LogisticModel):
        scorer = scorer.near(model)
    inner = [scorer.fit(prefixes, training & (part != j)) for j in range(INNER_FOLDS)]
    which = np.where(training, part, np.int8(INNER_FOLDS))
    linear = _fill_logits(prefixes, which, inner, room)
    offsets, ends, label = prefixes.offsets, prefixes.ends_block, prefixes.label
    training_outcomes(offsets, ends, label, training, outcome)
    calibrate = fit_calibrator(room.at_end, outcome, method=calibration)
    first = np.empty(prefixes.n_users, np.int8)
    first_outcomes(offsets, ends, label, first)
    known = first[training & (first >= 0)]
    base = (float(known.sum()) + 0.5) / (len(known) + 1.0)
    if isinstance(calibrate, Line):
        slope, intercept = calibrate.slope, calibrate.intercept
    else:
        slope, intercept, linear = 1.0, 0.0, None
        for _, rows, _ in prefixes.parts():
            p = calibrate(room.before[rows])
            room.before[rows] = logit(np.clip(p, CLIP, 1 - CLIP))
    if not isinstance(model, LogisticModel):
        # What makes the base rate's log-odds of it.
        at_base, linear = (logit(base) - intercept) / slope if slope else 0.0, None
        for _, rows, some in prefixes.parts():
            room.before[rows][some.blocks_before() == 0] = at_base
    line = np.array([slope, intercept])
    expectation = fit_expectation(
        prefixes, training, room.before, line, None if linear is None else (linear, which)
    )
    return Learnt(model, calibrate, base, expectation)


def _fill_logits(
    prefixes: Prefixes, which: Int8, models: Sequence[Model], into: Logits
) -> list[LogisticModel] | None:
    """Fill the logits of each user by one of the models, as ``fill_linear``, which these are."""
    linear = [model for model in models if isinstance(model, LogisticModel)]
    if len(linear) == len(models):
        fill_linear(prefixes, which, linear, into)
        return linear
    for column in into:
        column[:] = 0.0
    for k, model in enumerate(models):
        mine = which == k
        rows = np.repeat(mine, np.diff(prefixes.offsets))
        for column, found in zip(into, model.logits(prefixes, mine), strict=True):
            column[rows] = found[rows]
    return None


def _fill(prefixes: Prefixes, which: Int8, learnt: Sequence[Learnt], into: Logits) -> None:
    """Fill the probabilities around every row, each user's by what the other folds taught."""
    models, base = [one.model for one in learnt], np.array([one.base for one in learnt])
    linear = [model for model in models if isinstance(model, LogisticModel)]
    lines = [one.calibrate for one in learnt if isinstance(one.calibrate, Line)]
    if len(linear) == len(lines) == len(models):
        lines_ = np.array([(line.slope, line.intercept) for line in lines])
        fill_linear(prefixes, which, linear, into, lines=lines_)
        return
    _fill_logits(prefixes, which, models, into)
    for users, rows, part in prefixes.parts():
        of_row = np.repeat(which[users], np.diff(part.offsets))
        for k, one in enumerate(learnt):
            for column in into:
                column[rows][of_row == k] = one.calibrate(column[rows][of_row == k])
        if not linear:
            first = part.blocks_before() == 0
            into.before[rows][first] = base[of_row[first]]
