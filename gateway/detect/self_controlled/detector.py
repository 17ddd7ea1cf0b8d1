"""The self-controlled detector: each user is their own control."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import false_discovery_control, norm

from gateway.detect.detection import Detection, rank_groups
from gateway.detect.measure import Measure, Quantity
from gateway.detect.self_controlled.answer import Answer, fit_answer
from gateway.detect.self_controlled.cases import users_with
from gateway.detect.self_controlled.crude import Crude, count_crudely
from gateway.detect.self_controlled.null import (
    COARSE,
    FEWEST_INERT,
    Null,
    null_of_bulk,
    null_of_inert,
)
from gateway.detect.self_controlled.options import SelfControlledOptions, windows_in
from gateway.detect.self_controlled.ratios import Ratios, estimate_ratios, likelihood_interval
from gateway.detect.self_controlled.shrinkage import false_sign_rates
from gateway.detect.self_controlled.surrogates import choose_surrogates
from gateway.errors import GatewayError, LogError, Problem
from gateway.log.join_log import JoinLog
from gateway.log.work import check_room, over_parts
from gateway.targets import TargetSet

__all__ = ["SELF_CONTROLLED", "detect_self_controlled"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# What is held at once for each join of a user with an event (docs/logs.md: measured).
_BYTES_PER_JOIN = 400

SELF_CONTROLLED = Measure(
    detector="self_controlled",
    estimate=Quantity(
        "rate ratio",
        "rate of target joins after the join over that of the same users before it, the "
        "effects of their other groups held",
        is_log=True,
        no_effect=1.0,
    ),
    score=Quantity(
        "shrunken log rate ratio", "logarithm of the rate ratio, shrunken towards no effect"
    ),
    joiners="joiners",
    events="joiners who join a target later",
    test="whether the same users join targets at a higher rate after the join",
    claims="change",
)


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
    empirical null (``SelfControlledOptions.variance``). ``n_events`` counts the joiners
    who join a target later than the group, no more.

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
    windows_in(options, joins.tick)
    if not joins.sizes()[targets.mask].any():
        raise LogError(f"some user must join a target group ({targets.description}); none does")
    inert = _named(joins, options.inert)
    surrogate = np.zeros(joins.n_groups, bool)
    if options.surrogates == "auto":
        surrogate = choose_surrogates(joins, targets, seed=seed)
    _check_room(joins, targets.mask | surrogate)
    crude = count_crudely(joins, targets, options)
    answer = fit_answer(joins, targets, surrogate, options, seed)
    ratios = estimate_ratios(answer.pairs, n_groups=joins.n_groups)
    ranked = ~targets.mask & (joins.sizes() >= options.min_joiners) & ratios.informative
    null = _null(ratios, ranked, inert, options)
    z = null.standardise(_root(ratios, options), ratios.variance)
    extra = _extra(ratios, answer, crude, null, z, ranked) | {"surrogate": surrogate}
    score = answer.beta if options.model == "multivariate" else z
    p, q = _p_values(z, ranked)
    scale = null.scales(ratios.variance)
    low, high = likelihood_interval(answer.pairs, ratios, scale=scale)
    # What is joined after a gateway looks raised too, where groups are looked at one by one.
    measure = replace(SELF_CONTROLLED, holds_level=options.model == "multivariate")
    enough = crude.n_after >= options.min_events
    return Detection(
        measure=measure,
        groups=joins.groups,
        candidate=~targets.mask,
        score=score,
        estimate=np.exp(ratios.log_ratio),
        ci_low=np.exp(low),
        ci_high=np.exp(high),
        p_value=p,
        q_value=q,
        n_joiners=joins.sizes(),
        n_events=crude.n_after,
        flagged=measure.holds_level & (np.nan_to_num(q, nan=1.0) < options.alpha) & enough,
        rank=rank_groups(score, ranked),
        extra=extra,
    )


def _check_room(joins: JoinLog, outcome: Mask) -> None:
    """Check that what is held of the users with an event fits into the memory."""
    count = sum(over_parts(joins, _count_joins_of_cases, outcome))
    check_room(count * _BYTES_PER_JOIN, f"users with an event, of {count:,} joins")


def _count_joins_of_cases(joins: JoinLog, outcome: Mask) -> int:
    return int(np.diff(joins.offsets)[users_with(joins, outcome)].sum())


def _p_values(z: Float64, ranked: Mask) -> tuple[Float64, Float64]:
    """Upper tails and their Benjamini-Hochberg counterparts, NaN where not ranked."""
    p = np.where(ranked, norm.sf(z), np.nan)
    q = np.full(len(z), np.nan)
    if ranked.any():
        q[ranked] = false_discovery_control(p[ranked])
    return p, q


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
    inert = inert[ranked[inert] & (ratios.variance[inert] >= COARSE)]
    if len(inert) < FEWEST_INERT:
        rule = f"must name at least {FEWEST_INERT} groups with enough events to be tested"
        raise GatewayError(str(Problem("self_controlled.inert", rule, str(len(inert)))))
    return null_of_inert(ratios.root[inert], ratios.variance[inert])


def _extra(
    ratios: Ratios, answer: Answer, crude: Crude, null: Null, z: Float64, ranked: Mask
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
