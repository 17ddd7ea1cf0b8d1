"""The fits that a detection stands on: one with the surrogates as events, one for them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.detect.self_controlled.cases import (
    Events,
    Pairs,
    build_cases,
    list_events,
    pairs_of,
)
from gateway.detect.self_controlled.multivariate import (
    Fit,
    adjusted_pairs,
    choose_by_bayes,
    choose_by_validation,
    fit_groups,
)
from gateway.detect.self_controlled.options import SelfControlledOptions, windows_in
from gateway.detect.self_controlled.ratios import estimate_ratios
from gateway.log.join_log import JoinLog
from gateway.randomness import name_uniforms
from gateway.targets import TargetSet

__all__ = ["Answer", "fit_answer"]

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# Turns the hash of the halves into another one, for the folds.
_FOLD_SALT = 1


@dataclass(frozen=True, eq=False)
class Answer:
    """What the fits say of every group.

    Parameters
    ----------
    pairs
        Each exposure against the case's own events, given the effects of the others.
    beta, error
        Posterior mode and standard error of the log rate ratio, shape (n_groups,); of the
        univariate model the maximum of the likelihood and the error without an effect.
    """

    pairs: Pairs
    beta: Float64
    error: Float64


def fit_answer(
    joins: JoinLog, targets: TargetSet, surrogate: Mask, options: SelfControlledOptions, seed: int
) -> Answer:
    """Fit with surrogates as events, and for the surrogates themselves without."""
    outcome = targets.mask | surrogate
    answer = _one_answer(joins, outcome, ~outcome, options, seed)
    if not surrogate.any():
        return answer
    plain = _one_answer(joins, targets.mask, ~targets.mask, options, seed)
    return Answer(
        pairs=_join_pairs(answer.pairs, plain.pairs, surrogate),
        beta=np.where(surrogate, plain.beta, answer.beta),
        error=np.where(surrogate, plain.error, answer.error),
    )


def _join_pairs(first: Pairs, second: Pairs, from_second: Mask) -> Pairs:
    keep, other = ~from_second[first.group], from_second[second.group]
    return Pairs(
        *(
            np.concatenate([getattr(first, f.name)[keep], getattr(second, f.name)[other]])
            for f in fields(Pairs)
        )
    )


def _one_answer(
    joins: JoinLog, outcome: Mask, candidate: Mask, options: SelfControlledOptions, seed: int
) -> Answer:
    events = list_events(joins, outcome, first_only=options.first_only)
    if options.model == "univariate":
        return _alone(joins, events, candidate, options)
    cases = build_cases(joins, events, candidate, risk_window=windows_in(options, joins.tick)[0])
    if options.penalty is not None:
        fit = fit_groups(cases, penalty=options.penalty)
    elif options.penalty_by == "bayes":
        fit = choose_by_bayes(cases)
    else:
        names = joins.users.take(pa.array(cases.user))
        fit = choose_by_validation(cases, name_uniforms(names, seed=seed + _FOLD_SALT))
    return Answer(adjusted_pairs(cases, fit.beta), fit.beta, _posterior_error(fit))


def _posterior_error(fit: Fit) -> Float64:
    """Laplace's approximation with a diagonal Hessian."""
    return 1.0 / np.sqrt(np.maximum(fit.information + fit.penalty, 1e-12))


def _alone(
    joins: JoinLog, events: Events, candidate: Mask, options: SelfControlledOptions
) -> Answer:
    risk, before = windows_in(options, joins.tick)
    pairs, _ = pairs_of(joins, events, candidate, risk_window=risk, pre_window=before)
    ratios = estimate_ratios(pairs, n_groups=joins.n_groups)
    with np.errstate(divide="ignore"):
        error = 1.0 / np.sqrt(ratios.variance)
    return Answer(pairs, ratios.log_ratio, error)
