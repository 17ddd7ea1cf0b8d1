"""Scores of a log that stays on disk: the same as of one in memory.

The rows to train on are few bytes each: they lie in scratch files that are mapped, so that
the fits run over them as over arrays. What comes after the fits is made of sums over blocks
of rows. The folds are independent of each other: each is taught by one worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit
from threadpoolctl import threadpool_limits

from gateway.errors import GatewayError, Problem
from gateway.joins_io import Duration, ticks_in
from gateway.joins_io.partitioned import drop_columns, new_column, scratch_space
from gateway.partitioned import PartitionedLog
from gateway.score.calibration import WEAK, Calibration, features_at, time_shares
from gateway.score.crossfit import INNER_FOLDS, check_both, counts_as_large
from gateway.score.large import Filled, score_large
from gateway.score.line import fit_long_line
from gateway.score.logistic import LogisticModel, LogisticScorer
from gateway.score.newton import fit_logistic
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits
from gateway.score.selection import Passes, exact_quantiles
from gateway.score.stored import StoredPrefixes, StoredScores, new_scores, store_prefixes
from gateway.score.stored_quality import measure_stored
from gateway.targets import TargetSet

__all__ = ["score_parts"]

Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]

# What a fit holds for each row and group at once (docs/logs.md: measured): masks, residuals,
# a gradient for each chunk of users, and what L-BFGS remembers.
_BYTES_PER_JOIN = 32
_BYTES_PER_GROUP = 600


def score_parts(
    joins: PartitionedLog,
    targets: TargetSet,
    *,
    scorer: LogisticScorer | None = None,
    horizon: Duration | None = None,
    folds: int = 5,
    calibration: Calibration = "platt",
    seed: int = 1,
) -> StoredScores:
    """Score every user of a log on disk after every join, as ``score_joins`` does in memory.

    Parameters
    ----------
    joins, targets, scorer, horizon, folds, calibration, seed
        As in ``score_joins``; ``isotonic`` needs the log in memory.

    Raises
    ------
    GatewayError
        For ``isotonic``, or when some fold's training users show only one outcome.
    """
    if calibration == "isotonic":
        rule = "'isotonic' needs the log in memory"
        raise GatewayError(str(Problem("score.calibration", rule, hint="leave out --memory")))
    scorer = scorer or LogisticScorer()
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    needed = joins.n_joins * _BYTES_PER_JOIN + joins.n_groups * _BYTES_PER_GROUP
    joins.check_bytes(needed, f"training on {joins.n_joins:,} joins of {joins.n_groups:,} groups")
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_space(joins.scratch))
        prefixes = store_prefixes(joins, targets, horizon=ticks, seed=seed, folder=folder)
        taught = _folds_that_teach(prefixes, folds)
        if counts_as_large(prefixes.whole(), calibration):
            # All folds learn from one packed copy of the rows: here, whoever else works.
            into = Filled(**new_scores(prefixes))
            score_large(
                prefixes.whole(), scorer=scorer, folds=folds, calibration=calibration, into=into
            )
        else:
            units = ((prefixes, k, folds, scorer, calibration) for k in taught)
            _write_scores(prefixes, joins.workers.map(_teach, units))
        quality = measure_stored(prefixes, folds)
        return StoredScores(prefixes, folds, quality, scorer.name, stack.pop_all().close)


def _folds_that_teach(prefixes: StoredPrefixes, folds: int) -> list[int]:
    """Return the folds that have users; those of each one's other folds show both outcomes."""
    users, rows, positive = (np.zeros(folds, np.int64) for _ in range(3))
    for _, piece in prefixes.blocks():
        fold = (piece.chance * folds).astype(np.int64)
        trains, of_row = piece.trains, fold[piece.user()]
        users += np.bincount(fold, minlength=folds)
        rows += np.bincount(of_row[trains], minlength=folds)
        positive += np.bincount(of_row[trains & (piece.label == 1)], minlength=folds)
    found = np.flatnonzero(users).tolist()
    for k in found:
        check_both(int(rows.sum() - rows[k]), int(positive.sum() - positive[k]))
    return found


@dataclass(frozen=True, eq=False)
class _Models:
    """What the users of all folds but one taught.

    Parameters
    ----------
    k, folds
        The fold left out, and how many there are.
    inner
        Models of all training users but those of one inner fold, by inner fold.
    final
        Model of all training users.
    """

    k: int
    folds: int
    inner: Sequence[LogisticModel]
    final: LogisticModel

    def held_out(self, piece: Prefixes) -> Mask:
        """Return which users are of the fold, shape (n_users,)."""
        return np.asarray((piece.chance * self.folds).astype(np.int8) == self.k)

    def logits_among(self, piece: Prefixes) -> Logits:
        """Return the training users' logits, each from a model of the other inner folds."""
        training = ~self.held_out(piece)
        inner = (np.modf(piece.chance * self.folds)[0] * INNER_FOLDS).astype(np.int8)
        total = Logits(*(np.zeros(len(piece.group)) for _ in range(3)))
        for j, model in enumerate(self.inner):
            part = model.logits(piece, training & (inner == j))
            # Each row is of one inner fold; elsewhere the logits are zero.
            total = Logits(*map(np.add, total, part))
        return total


@dataclass(frozen=True, eq=False)
class _Taught:
    """All that scores the users of a fold."""

    models: _Models
    calibrator: _Calibrator
    base_rate: float
    expectation: _Expectation

    def score(self, piece: Prefixes) -> tuple[Mask, dict[str, Float64]]:
        """Return which rows are of the fold, and the scores of all rows, right for those."""
        held_out = self.models.held_out(piece)
        logits = self.models.final.logits(piece, held_out)
        before = _before(logits, piece, self.calibrator, self.base_rate)
        return held_out[piece.user()], {
            "before": before,
            "after": self.calibrator.apply(logits.after),
            "at_end": self.calibrator.apply(logits.at_end),
            "expected": self.expectation.apply(before, piece),
        }


def _teach(
    prefixes: StoredPrefixes, k: int, folds: int, scorer: LogisticScorer, calibration: Calibration
) -> _Taught:
    """Learn from all users but those of fold ``k``; nothing of those enters."""
    # One BLAS thread: a threaded sum adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        models = _fit(prefixes, k, folds, scorer)
        calibrator = _fit_calibrator(prefixes, models, calibration)
        rate = _rate_of_first_blocks(prefixes, models)
        expectation = _fit_expectation(prefixes, models, calibrator, rate)
    return _Taught(models, calibrator, rate, expectation)


def _fit(prefixes: StoredPrefixes, k: int, folds: int, scorer: LogisticScorer) -> _Models:
    whole = prefixes.whole()
    training = (whole.chance * folds).astype(np.int8) != k
    inner = (np.modf(whole.chance * folds)[0] * INNER_FOLDS).astype(np.int8)
    tuned = scorer.tune(whole, training)
    among = [tuned.fit(whole, training & (inner != j)) for j in range(INNER_FOLDS)]
    return _Models(k, folds, among, tuned.fit(whole, training))


def _before(logits: Logits, piece: Prefixes, calibrator: _Calibrator, base_rate: float) -> Float64:
    before = calibrator.apply(logits.before)
    before[piece.blocks_before() == 0] = base_rate
    return before


def _rate_of_first_blocks(prefixes: StoredPrefixes, models: _Models) -> float:
    """Share of outcome 1 among the training users' first blocks, as in ``crossfit``."""
    rows = positive = 0
    for piece, fits in _training(prefixes, models):
        label = piece.label[fits & (piece.blocks_before() == 0)]
        rows, positive = rows + len(label), positive + int(label.sum())
    return (positive + 0.5) / (rows + 1.0)


@dataclass(frozen=True)
class _Calibrator:
    """The logistic function of slope x logit + intercept; without a slope, one value for all."""

    slope: float = 1.0
    intercept: float = 0.0
    constant: float | None = None

    def apply(self, z: Float64) -> Float64:
        """Return probabilities of logits."""
        if self.constant is not None:
            return np.full(len(z), self.constant)
        return np.asarray(expit(self.slope * z + self.intercept))


def _fit_calibrator(
    prefixes: StoredPrefixes, models: _Models, calibration: Calibration
) -> _Calibrator:
    """Fit as ``fit_calibrator`` does; that both outcomes occur was seen before."""
    if calibration == "none":
        return _Calibrator()
    # Other folds may be at work in the same folder.
    name = f"line_{models.k}_"
    n = sum(int(np.count_nonzero(fits)) for _, fits in _training(prefixes, models))

    def column(of: str) -> Float64:
        return new_column(prefixes.folder, name + of, np.float64, n)

    z, label = column("z"), column("label")
    end = 0
    for piece, fits in _training(prefixes, models):
        start, end = end, end + int(np.count_nonzero(fits))
        z[start:end] = models.logits_among(piece).at_end[fits]
        label[start:end] = piece.label[fits]
    slope, intercept = fit_long_line(z, label, new_column=column)
    drop_columns(prefixes.folder, name)
    if slope > 0.0:
        return _Calibrator(slope, intercept)
    return _Calibrator(constant=float(label.sum() / n))


def _training(prefixes: StoredPrefixes, models: _Models) -> Iterator[tuple[Prefixes, Mask]]:
    """Yield rows, and which of them are to train on for the fold."""
    for _, piece in prefixes.blocks():
        yield piece, piece.trains & ~models.held_out(piece)[piece.user()]


@dataclass(frozen=True, eq=False)
class _Expectation:
    """P(outcome of this join | the joins before it, and that there is one more).

    Parameters
    ----------
    cuts
        Where calendar time and tenure are cut.
    weights
        Of each column of ``features_at``; zero for those that no row to fit on had.
    constant
        The answer for all rows where only one outcome was seen.
    """

    cuts: tuple[Float64, Float64]
    weights: Float64
    constant: float | None = None

    def apply(self, before: Float64, piece: Prefixes) -> Float64:
        """Return the expectation at each row."""
        if self.constant is not None:
            return np.full(len(before), self.constant)
        return np.asarray(expit(features_at(before, piece, self.cuts) @ self.weights))


def _fit_expectation(
    prefixes: StoredPrefixes, models: _Models, calibrator: _Calibrator, base_rate: float
) -> _Expectation:
    """Fit as ``fit_expectation`` does."""

    def resolved() -> Iterator[tuple[Prefixes, Mask]]:
        for _, piece in prefixes.blocks():
            yield piece, piece.resolved & ~models.held_out(piece)[piece.user()]

    labels = [(np.count_nonzero(fits), int(piece.label[fits].sum())) for piece, fits in resolved()]
    n, positive = (int(sum(counts)) for counts in zip(*labels, strict=True))
    shares = time_shares(n)
    cuts = (
        _time_cuts(lambda: (piece.time[fits] for piece, fits in resolved()), shares[0]),
        _time_cuts(lambda: (piece.tenure()[fits] for piece, fits in resolved()), shares[1]),
    )
    if positive in (0, n):
        return _Expectation(cuts, np.zeros(0), constant=positive / n)

    def every() -> Iterator[tuple[csr_array, Int8]]:
        for piece, fits in resolved():
            before = _before(models.logits_among(piece), piece, calibrator, base_rate)
            yield features_at(before, piece, cuts)[fits], piece.label[fits]

    # Bins that are empty among the rows to fit on would make the system singular.
    counts = [np.bincount(x.indices, minlength=x.shape[1]) for x, _ in every()]
    used = np.flatnonzero(np.sum(counts, axis=0))
    weights = np.zeros(len(counts[0]))
    weights[used] = fit_logistic(
        lambda: ((x[:, used], y) for x, y in every()), penalised=np.ones(len(used), bool), c=WEAK
    )
    return _Expectation(cuts, weights)


def _time_cuts(passes: Passes, shares: Float64) -> Float64:
    return np.unique(exact_quantiles(passes, shares))


def _write_scores(prefixes: StoredPrefixes, taught: Iterable[_Taught]) -> None:
    """Fill the columns of scores, each user's rows by what the other folds taught."""
    columns = new_scores(prefixes)
    for fold in taught:
        for rows, piece in prefixes.blocks():
            theirs, scores = fold.score(piece)
            for name, column in columns.items():
                column[rows][theirs] = scores[name][theirs]
