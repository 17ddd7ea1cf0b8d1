"""Cross-fitting: every user is scored by a model that never saw that user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit
from threadpoolctl import threadpool_limits

from gateway._numba import threads_at_most
from gateway.arrays import Int8, Mask
from gateway.errors import LogError
from gateway.log import Duration, ticks_in
from gateway.log.join_log import JoinLog
from gateway.randomness import name_uniforms
from gateway.score.adapter import as_scorer
from gateway.score.calibration import Calibration, Line, fit_calibrator, fit_expectation
from gateway.score.calibration_kernels import first_outcomes, training_outcomes
from gateway.score.logistic import LogisticModel, LogisticScorer
from gateway.score.prefixes import Prefixes, build_prefixes, columns_in
from gateway.score.quality import measure_baselines, measure_scores
from gateway.score.scorer import Logits, Scorer, base_rate, log_odds
from gateway.score.scores import COLUMNS, Learnt, Scores, fill_logits, fill_scores
from gateway.targets import TargetSet, as_targets

# Parts into which the training users of a fold are cut to calibrate.
INNER_FOLDS = 3
# A kernel of fewer rows is done before a second thread is awake.
_ROWS_PER_THREAD = 100_000


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
    columns = {name: new_column(name, np.float64, n) for name in COLUMNS}
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
    fill_scores(prefixes, np.searchsorted(present, fold).astype(np.int8), learnt, room)
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
    linear = fill_logits(prefixes, which, inner, room)
    offsets, ends, label = prefixes.offsets, prefixes.ends_block, prefixes.label
    training_outcomes(offsets, ends, label, training, outcome)
    calibrate = fit_calibrator(room.at_end, outcome, method=calibration)
    first = np.empty(prefixes.n_users, np.int8)
    first_outcomes(offsets, ends, label, first)
    known = first[training & (first >= 0)]
    base = base_rate(known.sum(), len(known))
    if isinstance(calibrate, Line):
        slope, intercept = calibrate.slope, calibrate.intercept
    else:
        slope, intercept, linear = 1.0, 0.0, None
        for _, rows, _ in prefixes.parts():
            room.before[rows] = log_odds(calibrate(room.before[rows]))
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
