"""The self-controlled detector: each user is their own control."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import false_discovery_control, norm

from gateway.detect.detection import Detection, rank_groups
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
from gateway.detect.self_controlled.null import FEWEST_INERT, Null, null_of_bulk, null_of_inert
from gateway.detect.self_controlled.options import SelfControlledOptions
from gateway.detect.self_controlled.ratios import Ratios, estimate_ratios, likelihood_interval
from gateway.detect.self_controlled.shrinkage import false_sign_rates
from gateway.detect.self_controlled.surrogates import choose_surrogates
from gateway.errors import GatewayError, LogError, Problem
from gateway.joins import JoinLog
from gateway.randomness import name_uniforms
from gateway.targets import TargetSet

__all__ = ["detect_self_controlled"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# Turns the hash of the halves into another one, for the folds.
_FOLD_SALT = 1


def detect_self_controlled(
    joins: JoinLog,
    targets: TargetSet,
    *,
    options: SelfControlledOptions | None = None,
    seed: int = 1,
) -> Detection:
    r"""Rank groups by how much the rate of target joins rises when a user joins them.

    The self-controlled case series (Farrington 1995; Whitaker et al. 2006) with many
    exposures at once (Simpson et al. 2013). User u has target joins at the rate

        lambda_u(t) = exp(alpha_u + sum over groups g joined before t of beta_g) b(t).

    Given each user's number of target joins, alpha_u drops out, and with it whatever is
    constant in a user, observed or not: interests, country, activity. b(t) is the
    calendar. A group that merely attracts users who were going anyway has beta = 0: they
    had been going before they joined it, too.

    *Score.* Posterior mode of beta_g under a normal prior whose precision the data choose
    (multivariate), or the root statistic (univariate). *Estimate.* The conditional rate
    ratio exp(beta_g), all others as fitted, with its 95 % likelihood interval. *p-value.*
    Upper tail at beta_g = 0, others as fitted, by saddlepoint, calibrated by the
    empirical null (see ``Variance``). ``n_spiking`` counts the joiners who join a target
    later than the group, no more.

    *Surrogates.* See ``choose_surrogates``. Where some are chosen, a group's ratio is that
    of joins of targets and of groups like them. Surrogates are themselves ranked by a
    second fit, in which only target joins are events.

    *When it misleads.* Whatever changes in a user over time and moves both joins is taken
    for an effect: a taste that drifts for outside reasons raises the groups joined on the
    way (fellow travellers). An event must not change what is joined later, nor end the
    observation: both bend self-controlled estimates. Groups joined always together share
    one effect, and the penalty splits it between them.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    options
        Choices; by default ``SelfControlledOptions()``.
    seed
        Of the halves and folds of users, drawn by their names.

    Returns
    -------
    Detection
        With the extra columns ``log_ratio`` (posterior mode; univariate: the maximum
        likelihood estimate), ``standard_error`` (its own), ``observed`` and ``expected``
        (events of joiners after the join; their mean without an effect, given the effects
        of the others), ``z`` (calibrated), ``lfsr`` (local false sign rate, that the group
        does not raise), ``crude_observed`` and ``crude_expected`` (target joins alone,
        nothing adjusted), ``n_cases`` (joiners with a target join), ``pre_ratio`` (with a
        pre-window), ``surrogate``.

    Raises
    ------
    GatewayError
        If nobody joins a target, or the inert groups are unknown or too few.

    References
    ----------
    Farrington (1995), Biometrics 51(1). Whitaker, Farrington, Spiessens, Musonda (2006),
    "Tutorial in biostatistics: the self-controlled case series method", Statistics in
    Medicine 25(10). Simpson et al. (2013), Biometrics 69(4).
    """
    options = options or SelfControlledOptions()
    if not targets.mask[joins.group].any():
        raise LogError(f"some user must join a target group ({targets.description}); none does")
    inert = _named(joins, options.inert)
    crude = _crude(joins, targets, options)
    surrogate = np.zeros(joins.n_groups, bool)
    if options.surrogates == "auto":
        surrogate = choose_surrogates(joins, targets, seed=seed)
    answer = _answer(joins, targets, surrogate, options, seed)
    ratios = estimate_ratios(answer.pairs, n_groups=joins.n_groups)
    n_joiners = joins.sizes()
    ranked = ~targets.mask & (n_joiners >= options.min_joiners) & ratios.informative
    null = _null(ratios, ranked, inert, options)
    z = null.standardise(_root(ratios, options), ratios.variance)
    p = np.where(ranked, norm.sf(z), np.nan)
    q = np.full(joins.n_groups, np.nan)
    if ranked.any():
        q[ranked] = false_discovery_control(p[ranked])
    low, high = likelihood_interval(answer.pairs, n_groups=joins.n_groups, scale=null.scale)
    score = answer.beta if options.model == "multivariate" else z
    return Detection(
        detector="self_controlled",
        groups=joins.groups,
        candidate=~targets.mask,
        score=score,
        estimate=np.exp(ratios.log_ratio),
        ci_low=np.exp(low),
        ci_high=np.exp(high),
        p_value=p,
        q_value=q,
        n_joiners=n_joiners,
        n_spiking=crude.n_after,
        flagged=(np.nan_to_num(q, nan=1.0) < options.alpha)
        & (crude.n_after >= options.min_spiking),
        rank=rank_groups(score, ranked),
        extra=_extra(ratios, answer, crude, null, z, ranked) | {"surrogate": surrogate},
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """Pairs that the ratios come from, posterior mode and its standard error."""

    pairs: Pairs
    beta: Float64
    error: Float64


@dataclass(frozen=True, eq=False)
class _Crude:
    """Target joins alone, one group at a time; arrays of shape (n_groups,)."""

    observed: Float64
    expected: Float64
    n_cases: Int64
    n_after: Int64
    pre_ratio: Float64


def _named(joins: JoinLog, names: tuple[str, ...]) -> Int64:
    """Return the ids of the inert groups."""
    if not names:
        return np.empty(0, np.int64)
    known = pc.index_in(pa.array(names, pa.string()), value_set=joins.groups)
    if known.null_count or len(set(names)) < FEWEST_INERT:
        rule = f"must name at least {FEWEST_INERT} groups of the log"
        unknown = [n for n, at in zip(names, known.to_pylist(), strict=True) if at is None]
        got = f"unknown: {', '.join(map(repr, unknown[:5]))}" if unknown else str(len(set(names)))
        raise GatewayError(str(Problem("self_controlled.inert", rule, got)))
    return np.unique(known.to_numpy(zero_copy_only=False)).astype(np.int64)


def _crude(joins: JoinLog, targets: TargetSet, options: SelfControlledOptions) -> _Crude:
    events = list_events(joins, targets.mask, first_only=options.first_only)
    pairs, pre = pairs_of(
        joins, events, ~targets.mask,
        risk_window=options.risk_window, pre_window=options.pre_window,
    )  # fmt: skip
    n = joins.n_groups
    near = np.bincount(pre.group, pre.after, minlength=n)
    usual = np.bincount(pre.group, pre.events * pre.share, minlength=n)
    return _Crude(
        observed=np.bincount(pairs.group, pairs.after, minlength=n),
        expected=np.bincount(pairs.group, pairs.events * pairs.share, minlength=n),
        n_cases=np.bincount(pairs.group, minlength=n).astype(np.int64),
        n_after=np.bincount(pairs.group, pairs.after > 0, minlength=n).astype(np.int64),
        pre_ratio=np.divide(near, usual, out=np.full(n, np.nan), where=usual > 0),
    )


def _answer(
    joins: JoinLog, targets: TargetSet, surrogate: Mask, options: SelfControlledOptions, seed: int
) -> _Answer:
    """Fit with surrogates as events, and for the surrogates themselves without."""
    outcome = targets.mask | surrogate
    answer = _one_answer(joins, outcome, ~outcome, options, seed)
    if not surrogate.any():
        return answer
    plain = _one_answer(joins, targets.mask, ~targets.mask, options, seed)
    return _Answer(
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
) -> _Answer:
    events = list_events(joins, outcome, first_only=options.first_only)
    if options.model == "univariate":
        return _alone(joins, events, candidate, options)
    cases = build_cases(joins, events, candidate, risk_window=options.risk_window)
    if options.penalty is not None:
        fit = fit_groups(cases, penalty=options.penalty)
    elif options.penalty_by == "bayes":
        fit = choose_by_bayes(cases)
    else:
        names = joins.users.take(cases.user).to_pylist()
        fit = choose_by_validation(cases, name_uniforms(names, seed=seed + _FOLD_SALT))
    return _Answer(adjusted_pairs(cases, fit.beta), fit.beta, _posterior_error(fit))


def _posterior_error(fit: Fit) -> Float64:
    """Laplace's approximation with a diagonal Hessian."""
    return 1.0 / np.sqrt(np.maximum(fit.information + fit.penalty, 1e-12))


def _alone(
    joins: JoinLog, events: Events, candidate: Mask, options: SelfControlledOptions
) -> _Answer:
    pairs, _ = pairs_of(
        joins, events, candidate,
        risk_window=options.risk_window, pre_window=options.pre_window,
    )  # fmt: skip
    ratios = estimate_ratios(pairs, n_groups=joins.n_groups)
    with np.errstate(divide="ignore"):
        error = 1.0 / np.sqrt(ratios.variance)
    return _Answer(pairs, ratios.log_ratio, error)


def _root(ratios: Ratios, options: SelfControlledOptions) -> Float64:
    """Return the root statistic, for ``clustered`` divided by the excess of its variance."""
    if options.variance != "clustered":
        return ratios.root
    spread = np.maximum(ratios.clustered, ratios.variance)
    excess = np.divide(spread, ratios.variance, out=np.ones_like(spread), where=ratios.informative)
    return np.asarray(ratios.root / np.sqrt(excess))


def _null(ratios: Ratios, ranked: Mask, inert: Int64, options: SelfControlledOptions) -> Null:
    if options.variance != "empirical":
        return Null()
    if len(inert) == 0:
        return null_of_bulk(ratios.root[ranked], ratios.variance[ranked])
    inert = inert[ranked[inert]]
    if len(inert) < FEWEST_INERT:
        rule = f"must name at least {FEWEST_INERT} groups with enough joiners to be tested"
        raise GatewayError(str(Problem("self_controlled.inert", rule, str(len(inert)))))
    return null_of_inert(ratios.root[inert], ratios.variance[inert])


def _extra(
    ratios: Ratios, answer: _Answer, crude: _Crude, null: Null, z: Float64, ranked: Mask
) -> dict[str, npt.NDArray[np.generic]]:
    lfsr = np.full(len(z), np.nan)
    if ranked.any():
        error = null.scales(ratios.variance[ranked]) / np.sqrt(ratios.variance[ranked])
        lfsr[ranked] = false_sign_rates(z[ranked] * error, error)
    return {
        "log_ratio": answer.beta,
        "standard_error": np.where(ratios.informative, answer.error, np.nan),
        "observed": ratios.observed,
        "expected": ratios.expected,
        "z": np.where(ranked, z, np.nan),
        "lfsr": lfsr,
        "crude_observed": crude.observed,
        "crude_expected": crude.expected,
        "n_cases": crude.n_cases,
        "pre_ratio": crude.pre_ratio,
    }
