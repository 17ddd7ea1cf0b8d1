"""The self-controlled detector: each user is their own control."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import norm

from gateway.arrays import Int64, Mask
from gateway.config.detectors import CoefficientOptions, SelfControlledOptions
from gateway.detect.coefficient import detect_coefficient
from gateway.detect.detection import Detection, Findings, add_up, count_by_group, count_by_user
from gateway.detect.measure import Measure, Quantity
from gateway.detect.self_controlled.before import grade_calls
from gateway.detect.self_controlled.evidence import gather_evidence
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.rows import RiskWindow
from gateway.detect.self_controlled.sensitivity import e_values, say_checks, say_failed
from gateway.detect.self_controlled.surrogates import choose_surrogates
from gateway.detect.self_controlled.windows import choose_window, targets_run_out, window_in
from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.log.messages import percent
from gateway.log.work import check_room, over_parts
from gateway.targets import TargetSet

# What is held at once for each join of a user with an event (docs: join logs).
_BYTES_PER_JOIN = 150
# A rough fit is enough for a prior's mean, and one penalty for its many.
_ASSOCIATION = CoefficientOptions(penalty=10.0, tolerance=1e-5)
# Users who are set aside are named, so many of them.
_NAMED = 5

SELF_CONTROLLED = Measure(
    detector="self_controlled",
    estimate=Quantity(
        "odds ratio",
        "odds that a join is of a target after the join over the odds of the same users "
        "before it, the effects of their other groups held",
        is_log=True,
        no_effect=1.0,
    ),
    score=Quantity(
        "expected log odds ratio",
        "posterior mean of the logarithm of the odds ratio, given these joins and, as far as the "
        "log shows that the two go together, the group's association with the targets; it ranks, "
        "and no call depends on it",
    ),
    joiners="joiners",
    events="joiners who join a target later",
    test="whether more of the same users' joins are of targets after the join",
    claims="change",
)


def detect_self_controlled(
    joins: JoinLog,
    targets: TargetSet,
    *,
    options: SelfControlledOptions | None = None,
    seed: int = 1,
) -> Detection:
    r"""Rank groups by how much more of a user's joins are of targets after joining them.

    A user's clock ticks at the user's own joins. Join s of user u is of a target with the
    log odds

        alpha_u + position_s + calendar_s + sum over groups g joined in ticks before of beta_g.

    Given how many of the user's joins are of targets, alpha_u drops out, and with it whatever
    is constant in a user, observed or not: interests, country, activity. A group that merely
    attracts users who were going anyway has beta = 0: they had been going before they joined
    it, too. On the calendar (``clock = "calendar"``) the same holds of the rate of target
    joins: the self-controlled case series.

    *Score.* Posterior mean of beta_g: association with the targets is the prior's mean, as
    far as the log shows that it goes with change (``Evidence.posterior``, ``fit_prior``).
    *Estimate, interval, p-value.* See ``own_effects``: of beta_g without a prior, the others
    as fitted; the p-value is the upper tail at beta_g = 0. ``n_events`` counts the joiners
    who join a target later than the group, no more.

    *Surrogates.* See ``choose_surrogates``. Where some are chosen, a group's ratio is that
    of joins of targets and of groups like them. Surrogates are themselves ranked by a
    second fit, in which only target joins are events.

    *When it misleads.* Whatever changes in a user over time and moves both joins is taken
    for an effect: a taste that drifts for outside reasons raises the groups joined on the
    way (fellow travellers); the grade ``robust`` is of calls that no drift which began before
    the join explains. What sends people to targets without changing them, such as
    recommendations seeded by a group, or invitations, is not seen. Groups joined always
    together are one alias set: nobody can say which of them it is.

    Parameters
    ----------
    joins, targets
        The log and the target set.
    options
        Choices; by default ``SelfControlledOptions()``.
    seed
        Of the halves of users, drawn by their names.

    Returns
    -------
    Detection
        With the extra columns ``standard_error`` (posterior deviation of the score),
        ``observed`` and ``expected`` (events of joiners after the join; their mean without an
        effect, given the effects of the others), ``z`` (standard normal without an effect),
        ``z_near`` (see ``near_effects``), ``grade`` (see ``grade_calls``), ``dispersion`` (of
        events of one user that go together, and of the bulk), ``n_cases`` (joiners whose
        events could have fallen on either side), ``surrogate``, ``alias`` (the group that
        stands for those joined together with it, see ``find_aliases``), ``e_value`` (see
        ``e_values``). ``notes`` name the users who are set aside, and what became of the checks
        of the assumptions.

    Raises
    ------
    GatewayError
        If nobody joins a target.

    References
    ----------
    Farrington (1995), Biometrics 51(1). Whitaker, Farrington, Spiessens, Musonda (2006),
    "Tutorial in biostatistics: the self-controlled case series method", Statistics in
    Medicine 25(10). Breslow, Day, Halvorsen, Prentice, Sabai (1978), "Estimation of multiple
    relative risk functions in matched case-control studies", Am. J. Epidemiol. 108(4), for
    the likelihood on the clock of joins. Simpson et al. (2013), Biometrics 69(4).
    """
    options = options or SelfControlledOptions()
    given = window_in(options, joins.tick)
    if not joins.sizes()[targets.mask].any():
        raise LogError(f"some user must join a target group ({targets.description}); none does")
    prepared = Preparation.of(options, joins)
    forever = None
    if prepared.depletion:
        runs_out, forever = targets_run_out(joins, targets.mask, prepared=prepared, seed=seed)
        prepared = replace(prepared, depletion=runs_out)
    surrogate = np.zeros(joins.n_groups, bool)
    if options.surrogates == "auto":
        surrogate = choose_surrogates(joins, targets, prepared=prepared, seed=seed)
    _check_room(joins, targets.mask | surrogate)
    window = given or choose_window(
        joins, targets.mask | surrogate, prepared=prepared, seed=seed,
        forever=None if surrogate.any() else forever,
    )  # fmt: skip
    gather = partial(gather_evidence, joins, options=options, prepared=prepared, window=window)
    found = gather(targets.mask | surrogate)
    if surrogate.any():
        # Target joins alone tell little of what the other groups do; the first fit knows more.
        others = np.where(found.own.informative, found.beta, 0.0)
        found = found.replaced(gather(targets.mask, centre=others), surrogate)
    own, sizes = found.own, joins.sizes()
    ranked = ~targets.mask & own.informative & (sizes >= options.min_joiners)
    score, error = found.beta, found.mode_error
    if options.prior == "association":
        association = detect_coefficient(joins, targets, options=_ASSOCIATION, seed=seed).score
        score, error = found.posterior(np.where(targets.mask, 0.0, association), ranked)
    n_events = _followed(joins, targets.mask, window)
    p = norm.sf(own.z)
    findings = Findings(
        score=np.where(own.informative, score, np.nan),
        estimate=np.exp(own.log_ratio),
        ci_low=np.exp(own.ci_low),
        ci_high=np.exp(own.ci_high),
        n_joiners=sizes,
        n_events=n_events,
        p_value=p,
        extra={
            "standard_error": np.where(own.informative, error, np.nan),
            "observed": own.observed,
            "expected": own.expected,
            "z": own.z,
            "z_near": found.near.z,
            "dispersion": own.dispersion,
            "n_cases": own.n_cases.astype(np.int64),
            "surrogate": surrogate,
            "alias": _names(joins, found.alias),
            "e_value": e_values(np.exp(own.ci_low), event_share=found.event_share),
        },
    )
    detection = findings.rank(
        SELF_CONTROLLED, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha,
        flaggable=n_events >= options.min_events, alias=found.alias,
    )  # fmt: skip
    grade = grade_calls(
        detection.flagged, detection.p_value, norm.sf(found.near.z), found.near.z,
        alias=found.alias, alpha=options.alpha,
    )  # fmt: skip
    notes = (
        *_set_aside(joins, prepared.most_joins),
        *_say_kinds(found.second_kind),
        *say_checks(found.checks),
    )
    if given is None and window.ends:
        notes = (f"what the marginal likelihood prefers: a join counts {window}", *notes)
    return replace(
        detection, extra={**detection.extra, "grade": grade}, notes=notes,
        warnings=say_failed(found.checks),
    )  # fmt: skip


def _names(joins: JoinLog, alias: Int64) -> npt.NDArray[np.object_]:
    """Return the name of each group's alias set; None of a group alone."""
    names = np.full(len(alias), None, object)
    together = np.flatnonzero((np.bincount(alias, minlength=len(alias)) > 1)[alias])
    names[together] = joins.groups.take(pa.array(alias[together])).to_pylist()
    return names


def _say_kinds(share: float) -> tuple[str, ...]:
    if share == 0.0:
        return ()
    less = min(share, 1.0 - share)
    return (
        f"users are of two kinds by what they join ({percent(less)} and {percent(1 - less)} of "
        "those who join a target), each with its own calendar",
    )


def _set_aside(joins: JoinLog, most: float) -> tuple[str, ...]:
    """Say who is left out."""
    users = np.flatnonzero(np.diff(joins.offsets) > most)
    if len(users) == 0:
        return ()
    first = ", ".join(joins.users.take(pa.array(users[:_NAMED])).to_pylist())
    others = f" and {len(users) - _NAMED:,} others" if len(users) > _NAMED else ""
    return (f"users with more than {most:,.0f} joins are set aside: {first}{others}",)


def _check_room(joins: JoinLog, outcome: Mask) -> None:
    """Check that what is held of the users with an event fits into the memory."""
    count = sum(over_parts(joins, _count_joins_of_cases, outcome))
    check_room(count * _BYTES_PER_JOIN, f"users with an event, of {count:,} joins")


def _count_joins_of_cases(part: JoinLog, outcome: Mask) -> int:
    return int(np.diff(part.offsets)[count_by_user(part, outcome) > 0].sum())


def _followed(joins: JoinLog, target: Mask, window: RiskWindow) -> Int64:
    """Count the joiners of each group who join a target in a later tick within the window."""
    found: Int64 = add_up((n,) for n in over_parts(joins, _followed_in, target, window))[0]
    return found


def _followed_in(part: JoinLog, target: Mask, window: RiskWindow) -> Int64:
    kept = np.repeat(count_by_user(part, target) > 0, np.diff(part.offsets))
    group, time = part.group[kept], part.time[kept].astype(np.int64)
    base, width = int(time.min(initial=0)), int(np.ptp(time)) + 2 if len(time) else 1
    user = part.user()[kept].astype(np.int64)
    key = user * width + (time - base)
    hit = np.flatnonzero(target[group])
    following = np.searchsorted(key[hit], key, side="right")
    known = following < len(hit)
    next_key = np.full(len(key), np.iinfo(np.int64).max)
    next_key[known] = key[hit][following[known]]
    last = (user + 1) * width - 1
    if window.ticks:
        last = np.minimum(last, key + window.ticks)
    return count_by_group(group[next_key <= last], len(target))
