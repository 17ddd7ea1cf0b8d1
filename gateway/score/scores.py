"""Scores of every user after every join, by models that others taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Float64, Int8, Mask
from gateway.errors import GatewayError, LogError, Problem, shown, unknown
from gateway.log.join_log import JoinLog
from gateway.score.calibration import Calibrator, Expectation, Line
from gateway.score.logistic import LogisticModel, fill_linear
from gateway.score.prefixes import Prefixes, build_prefixes
from gateway.score.quality import Quality
from gateway.score.scorer import Logits, Model
from gateway.tabular import Rows
from gateway.targets import TargetSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("before", "after", "expected", "at_end")


@dataclass(frozen=True, eq=False)
class Learnt:
    """What scores the users of a fold.

    ``base``: probability before a user's first block, where the model does not know it.
    """

    model: Model
    calibrate: Calibrator
    base: float
    expectation: Expectation


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
        """Return P(target) of one user of the log around each join.

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
            raise unknown("user", "must be one of the log", name, joins.users.to_pylist())
        i = slice(*self.prefixes.offsets[u : u + 2])
        mine = np.arange(joins.offsets[u], joins.offsets[u + 1])
        reached = mine[self.targets.mask[joins.group[mine]]][:1]
        at = np.concatenate([mine[: i.stop - i.start], reached])
        gap = [None] * len(reached)
        table = pa.table({
            "position": np.arange(1, len(at) + 1), "time": joins.when(joins.time[at]),
            "group": joins.groups.take(pa.array(joins.group[at])),
            "before": pa.array([*self.before[i].tolist(), *gap], pa.float64()),
            "after": pa.array([*self.after[i].tolist(), *gap], pa.float64()),
        })  # fmt: skip
        return Rows(table, f"joins of user {shown(name)}")

    def plot_user(self, name: str, ax: Axes | None = None) -> Axes:
        """Draw P(target) of one user, join by join, on ``ax`` or a new figure of pyplot.

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
        columns: dict[str, Any] = {name: np.zeros(n) for name in COLUMNS}
        everybody = np.ones(prefixes.n_users, np.bool_)
        for one in self.learnt:
            room = Logits(*(np.empty(n) for _ in range(3)))
            expected = np.empty(n)
            fill_scores(prefixes, np.zeros(prefixes.n_users, np.int8), [one], room)
            one.expectation.fill(prefixes, everybody, room.before, expected)
            for name, found in {**room._asdict(), "expected": expected}.items():
                columns[name] += found / len(self.learnt)
        fold = np.zeros(prefixes.n_users, np.int8)
        return replace(self, prefixes=prefixes, **columns, fold=fold, quality=(), log=here)

    def of_users(self, chosen: Mask) -> Scores:
        """Return the scores of some users alone; ``chosen``: bool, shape (n_users,)."""
        row = np.repeat(chosen, np.diff(self.prefixes.offsets))
        columns = {name: getattr(self, name)[row] for name in COLUMNS}
        return replace(
            self, prefixes=self.prefixes.of_users(chosen), fold=self.fold[chosen], log=None,
            targets=None, learnt=(), **columns,
        )  # fmt: skip

    def parts(self) -> Iterator[tuple[slice, Scores]]:
        """Yield rows and the scores of some users after those of others, as ``Prefixes.parts``."""
        for users, rows, prefixes in self.prefixes.parts():
            columns = {name: getattr(self, name)[rows] for name in COLUMNS}
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


def fill_logits(
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


def fill_scores(prefixes: Prefixes, which: Int8, learnt: Sequence[Learnt], into: Logits) -> None:
    """Fill the probabilities around every row, each user's by what the other folds taught."""
    models, base = [one.model for one in learnt], np.array([one.base for one in learnt])
    linear = [model for model in models if isinstance(model, LogisticModel)]
    lines = [one.calibrate for one in learnt if isinstance(one.calibrate, Line)]
    if len(linear) == len(lines) == len(models):
        lines_ = np.array([(line.slope, line.intercept) for line in lines])
        fill_linear(prefixes, which, linear, into, lines=lines_)
        return
    fill_logits(prefixes, which, models, into)
    for users, rows, part in prefixes.parts():
        of_row = np.repeat(which[users], np.diff(part.offsets))
        for k, one in enumerate(learnt):
            for column in into:
                column[rows][of_row == k] = one.calibrate(column[rows][of_row == k])
        if not linear:
            first = part.blocks_before() == 0
            into.before[rows][first] = base[of_row[first]]
