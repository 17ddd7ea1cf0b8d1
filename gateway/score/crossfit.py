"""Cross-fitting: every user is scored by a model that never saw that user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gateway.errors import LogError
from gateway.joins import JoinLog
from gateway.randomness import name_uniforms
from gateway.score.calibration import (
    Calibration,
    expectation_features,
    fit_calibrator,
    fit_expectation,
)
from gateway.score.logistic import LogisticScorer
from gateway.score.prefixes import Prefixes, build_prefixes
from gateway.score.quality import Quality, measure_quality
from gateway.score.scorer import Logits, Scorer
from gateway.targets import TargetSet

__all__ = ["Scores", "assign_folds", "score_joins"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """P(target within the horizon) around every join at risk.

    Parameters
    ----------
    prefixes
        The rows that the arrays below speak of.
    before
        Probability before the join, shape (n_rows,): after the joins before its block;
        before a user's first block, the base rate of the training users' first blocks.
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
        Measures of ``at_end`` against the outcomes, out of fold.
    scorer
        Name of the scorer.
    """

    prefixes: Prefixes
    before: Float64
    after: Float64
    expected: Float64
    at_end: Float64
    fold: npt.NDArray[np.int8]
    quality: tuple[Quality, ...]
    scorer: str


def assign_folds(joins: JoinLog, *, folds: int, seed: int) -> npt.NDArray[np.int8]:
    """Assign users to folds by a hash of their names, shape (n_users,).

    The fold of a user depends on the name, the seed and the number of folds alone: not
    on the order of the rows, nor on who else is in the log.
    """
    return (name_uniforms(joins.users.to_pylist(), seed=seed) * folds).astype(np.int8)


def score_joins(
    joins: JoinLog,
    targets: TargetSet,
    *,
    scorer: Scorer | None = None,
    horizon: int | None = None,
    folds: int = 5,
    calibration: Calibration = "platt",
    seed: int = 1,
) -> Scores:
    """Score every user after every join, cross-fitted by user.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    scorer
        What learns; by default ``LogisticScorer()``.
    horizon
        Ticks within which a target join counts; None for any later one.
    folds
        Number of folds, 2 to 50.
    calibration
        ``none``, ``platt`` or ``isotonic``; fitted on the other folds' out-of-fold logits.
    seed
        Seed of the folds.

    Raises
    ------
    LogError
        When some fold's training users show only one outcome, so that nothing can be
        learnt.

    Notes
    -----
    A score of a join depends on that user's joins up to it, and on the other folds'
    users. Truncation at the first target join means that nobody is scored after it.
    """
    scorer = scorer or LogisticScorer()
    prefixes = build_prefixes(joins, targets, horizon=horizon)
    fold = assign_folds(joins, folds=folds, seed=seed)
    _check_outcomes(prefixes, fold)
    # One BLAS thread: a threaded sum adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        logits = _out_of_fold_logits(prefixes, fold, scorer)
        before, after, at_end = _calibrate(prefixes, fold, logits, calibration)
        expected = _expect(prefixes, fold, before)
    row_fold = fold[prefixes.user()]
    trains = prefixes.trains
    quality = measure_quality(at_end[trains], prefixes.label[trains], row_fold[trains])
    return Scores(prefixes, before, after, expected, at_end, fold, quality, scorer.name)


def _check_outcomes(prefixes: Prefixes, fold: npt.NDArray[np.int8]) -> None:
    """Every fold's training users must show both outcomes."""
    row_fold, trains = fold[prefixes.user()], prefixes.trains
    for k in np.unique(fold):
        label = prefixes.label[trains & (row_fold != k)]
        if len(label) == 0 or label.min() == label.max():
            only = "no resolved outcome" if len(label) == 0 else f"only outcome {label[0]}"
            raise LogError(
                "the log cannot teach a classifier: leaving out one fold of users leaves "
                f"{len(label):,} scored prefixes with {only}; needed are users who joined a "
                "target after some other group, and users who did not, within the horizon"
            )


def _out_of_fold_logits(prefixes: Prefixes, fold: npt.NDArray[np.int8], scorer: Scorer) -> Logits:
    """Fit once for each fold on the other folds, and put the folds' logits together."""
    total = Logits(*(np.zeros(len(prefixes.group)) for _ in range(3)))
    row_fold = fold[prefixes.user()]
    for k in np.unique(fold):
        part = scorer.fit(prefixes, fold != k).logits(prefixes, fold == k)
        for whole, piece in zip(total, part, strict=True):
            whole[row_fold == k] = piece[row_fold == k]
    return total


def _calibrate(
    prefixes: Prefixes, fold: npt.NDArray[np.int8], logits: Logits, method: Calibration
) -> tuple[Float64, Float64, Float64]:
    """Logits to probabilities; the first block of a user starts from the base rate."""
    row_fold, trains = fold[prefixes.user()], prefixes.trains
    first = prefixes.blocks_before() == 0
    before, after, at_end = (np.empty(len(row_fold)) for _ in range(3))
    for k in np.unique(fold):
        fits, gets = trains & (row_fold != k), row_fold == k
        calibrate = fit_calibrator(logits.at_end[fits], prefixes.label[fits], method=method)
        before[gets] = calibrate(logits.before[gets])
        after[gets] = calibrate(logits.after[gets])
        at_end[gets] = calibrate(logits.at_end[gets])
        before[gets & first] = _base_rate(prefixes.label[fits & first])
    return before, after, at_end


def _base_rate(label: npt.NDArray[np.int8]) -> float:
    """Share of outcome 1, half a row added to either side so that it is never 0 or 1."""
    return (float(label.sum()) + 0.5) / (len(label) + 1.0)


def _expect(prefixes: Prefixes, fold: npt.NDArray[np.int8], before: Float64) -> Float64:
    row_fold, trains = fold[prefixes.user()], prefixes.trains
    x = expectation_features(before, prefixes.blocks_before(), prefixes.time)
    expected = np.empty(len(before))
    for k in np.unique(fold):
        found = fit_expectation(x, prefixes.label, fits=trains & (row_fold != k))
        expected[row_fold == k] = found[row_fold == k]
    return expected
