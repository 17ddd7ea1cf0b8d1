"""Cross-fitting: every user is scored by a model that never saw that user."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gateway.errors import LogError
from gateway.joins import JoinLog
from gateway.joins_io import Duration, ticks_in
from gateway.randomness import name_uniforms
from gateway.score.calibration import (
    Calibration,
    expectation_features,
    fit_calibrator,
    fit_expectation,
)
from gateway.score.large import score_large
from gateway.score.logistic import LogisticScorer
from gateway.score.prefixes import Prefixes, build_prefixes
from gateway.score.quality import Quality, measure_quality, without_groups
from gateway.score.scorer import Logits, Scorer
from gateway.targets import TargetSet

__all__ = ["INNER_FOLDS", "Scores", "assign_folds", "check_both", "score_joins"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# Parts into which the training users of a fold are cut to calibrate.
INNER_FOLDS = 3
# Rows beyond which a log is scored as ``score.large`` does.
LARGE = 5_000_000


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
        Measures of ``at_end`` against the outcomes, out of fold, and ``auc_without_groups``.
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

    def of_users(self, chosen: Mask) -> Scores:
        """Return the scores of some users alone; ``chosen``: bool, shape (n_users,)."""
        row = np.repeat(chosen, np.diff(self.prefixes.offsets))
        columns = {n: getattr(self, n)[row] for n in ("before", "after", "expected", "at_end")}
        return replace(
            self, prefixes=self.prefixes.of_users(chosen), fold=self.fold[chosen], **columns
        )


def assign_folds(joins: JoinLog, *, folds: int, seed: int) -> npt.NDArray[np.int8]:
    """Assign users to folds by a hash of their names, shape (n_users,).

    The fold of a user depends on the name, the seed and the number of folds alone: not
    on the order of the rows, nor on who else is in the log.
    """
    return (name_uniforms(joins.users, seed=seed) * folds).astype(np.int8)


def score_joins(
    joins: JoinLog,
    targets: TargetSet,
    *,
    scorer: Scorer | None = None,
    horizon: Duration | None = None,
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
        Time within which a target join counts: ``"180d"``, a ``timedelta``, or a number
        of ticks in a log of days or integers; None for any later one.
    folds
        Number of folds, 2 to 50.
    calibration
        ``none``, ``platt`` or ``isotonic``; learnt among the other folds' users alone.
    seed
        Seed of the folds.

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
    scorer = scorer or LogisticScorer()
    ticks = None if horizon is None else ticks_in(horizon, joins.tick, what="horizon")
    prefixes = build_prefixes(joins, targets, horizon=ticks, seed=seed)
    fold = (prefixes.chance * folds).astype(np.int8)
    _check_outcomes(prefixes, fold)
    if isinstance(scorer, LogisticScorer) and counts_as_large(prefixes, calibration):
        filled = score_large(prefixes, scorer=scorer, folds=folds, calibration=calibration)
        trains = prefixes.trains
        row_fold = np.repeat(fold, np.diff(prefixes.offsets))[trains]
        quality = measure_quality(
            filled.at_end[trains], prefixes.label[trains], row_fold, many=True
        )
        quality += without_groups(prefixes, fold)
        columns = (filled.before, filled.after, filled.expected, filled.at_end)
        return Scores(prefixes, *columns, fold, quality, scorer.name)
    n_rows = len(prefixes.group)
    before, after, at_end, expected = (np.empty(n_rows) for _ in range(4))
    # One BLAS thread: a threaded sum adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        for k in np.unique(fold):
            gets = (fold == k)[prefixes.user()]
            scored = _score_fold(prefixes, fold == k, folds, scorer, calibration)
            for whole, part in zip((before, after, at_end, expected), scored, strict=True):
                whole[gets] = part[gets]
    trains, row_fold = prefixes.trains, fold[prefixes.user()]
    quality = measure_quality(at_end[trains], prefixes.label[trains], row_fold[trains])
    quality += without_groups(prefixes, fold)
    return Scores(prefixes, before, after, expected, at_end, fold, quality, scorer.name)


def counts_as_large(prefixes: Prefixes, calibration: Calibration) -> bool:
    """Tell whether so many rows are scored as ``score.large`` does."""
    return calibration != "isotonic" and len(prefixes.group) > LARGE


def _check_outcomes(prefixes: Prefixes, fold: npt.NDArray[np.int8]) -> None:
    """Every fold's training users must show both outcomes."""
    trains = prefixes.trains
    row_fold = np.repeat(fold, np.diff(prefixes.offsets))[trains]
    n = np.bincount(row_fold)
    positive = np.bincount(row_fold[prefixes.label[trains] == 1], minlength=len(n))
    for k in np.unique(fold):
        others = np.arange(len(n)) != k
        check_both(int(n[others].sum()), int(positive[others].sum()))


def check_both(n_rows: int, n_positive: int) -> None:
    """Check that the rows that teach a fold show both outcomes.

    Raises
    ------
    LogError
        If they do not.
    """
    if 0 < n_positive < n_rows:
        return
    only = f"only outcome {int(n_positive > 0)}" if n_rows else "no resolved outcome"
    raise LogError(
        "the log cannot teach a classifier: leaving out one fold of users leaves "
        f"{n_rows:,} scored prefixes with {only}; needed are users who joined a "
        "target after some other group, and users who did not, within the horizon"
    )


def _score_fold(
    prefixes: Prefixes,
    held_out: Mask,
    folds: int,
    scorer: Scorer,
    calibration: Calibration,
) -> tuple[Float64, Float64, Float64, Float64]:
    """Score the users of one fold with what the others teach: (before, after, at_end, expected).

    The calibrator and the expectation are learnt from logits that the training users got
    out of fold among themselves, so that nothing of the held-out users enters anything.
    """
    training = ~held_out
    tuned = scorer.tune(prefixes, training)
    logits = _inner_logits(prefixes, training, folds, tuned)
    gets = held_out[prefixes.user()]
    for whole, part in zip(logits, tuned.fit(prefixes, training).logits(prefixes, held_out),
                           strict=True):  # fmt: skip
        whole[gets] = part[gets]
    fits = prefixes.trains & ~gets
    calibrate = fit_calibrator(logits.at_end[fits], prefixes.label[fits], method=calibration)
    before = calibrate(logits.before)
    first = prefixes.blocks_before() == 0
    before[first] = _base_rate(prefixes.label[fits & first])
    resolved = prefixes.resolved & ~gets
    x = expectation_features(before, prefixes, fits=resolved)
    expected = fit_expectation(x, prefixes.label, fits=resolved)
    return before, calibrate(logits.after), calibrate(logits.at_end), expected


def _inner_logits(prefixes: Prefixes, training: Mask, folds: int, scorer: Scorer) -> Logits:
    """Logits of the training users, each from a model of the other training users."""
    total = Logits(*(np.zeros(len(prefixes.group)) for _ in range(3)))
    inner = (np.modf(prefixes.chance * folds)[0] * INNER_FOLDS).astype(np.int8)
    for j in range(INNER_FOLDS):
        gets = training & (inner == j)
        rows = gets[prefixes.user()]
        part = scorer.fit(prefixes, training & (inner != j)).logits(prefixes, gets)
        for whole, piece in zip(total, part, strict=True):
            whole[rows] = piece[rows]
    return total


def _base_rate(label: npt.NDArray[np.int8]) -> float:
    """Share of outcome 1, half a row added to either side so that it is never 0 or 1."""
    return (float(label.sum()) + 0.5) / (len(label) + 1.0)
