"""The edges detector: what the platform's own traces say led to joins of targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from gateway.arrays import Float64, Int64, sorted_set
from gateway.config.detectors import EdgesOptions
from gateway.detect.detection import Detection, Findings
from gateway.detect.edges.conditional import estimate_effects, fit_slots, pairs_of
from gateway.detect.edges.traces import (
    FORMS,
    Cases,
    Entries,
    collect_cases,
    entries_of,
    forms_of,
    sender_classes,
    slots_of,
    without_most_frequent,
)
from gateway.detect.measure import Measure, Quantity
from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet

EDGES = Measure(
    detector="edges",
    estimate=Quantity(
        "odds ratio",
        "odds that a join is of a target where it came through the group, over those of the "
        "same users' other joins, in the form with the strongest evidence",
        is_log=True,
        no_effect="least_ratio",
    ),
    score=Quantity("shrunken log odds ratio", "logarithm of that ratio, shrunken towards none"),
    joiners="joins through the group, by users who join a target",
    events="joins of targets through the group",
    test="whether joins through the group are of targets more often than the same users' other "
    "joins, by more than the least ratio that counts",
    claims="trace",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """What one form says of every group; arrays of shape (n_groups,)."""

    beta: Float64
    ratio: Float64
    low: Float64
    high: Float64
    p: Float64
    n_joins: Int64
    n_targets: Int64

    def columns(self, form: str) -> dict[str, npt.NDArray[Any]]:
        """Return them as columns named after the form."""
        found = {
            "joins": self.n_joins, "targets": self.n_targets, "ratio": self.ratio,
            "ratio_low": self.low, "ratio_high": self.high, "p_value": self.p,
            "score": self.beta,
        }  # fmt: skip
        for end, ratio in (("", self.ratio), ("_low", self.low), ("_high", self.high)):
            found[f"averted{end}"] = self.n_targets * _fraction(ratio)
        return {f"{form}_{name}": column for name, column in found.items()}


def _fraction(ratio: Float64) -> Float64:
    """Return the attributable fraction among the exposed, zero for ratios below one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(1.0 - 1.0 / ratio, 0.0)


def traces_of(joins: JoinLog) -> str:
    """Say what the traces of a log let one see, and what not."""
    if not forms_of(joins):
        return (
            "edges needs a log with the column seed_group or inviter, which says what led to a "
            "join; this one has neither"
        )
    seen = {
        "seed_group": "joins recommended because of a group",
        "inviter": "joins that members were invited to",
    }
    lacks = {name: seen.pop(name) for name in list(seen) if getattr(joins, name) is None}
    less = "".join(f"; without the column {c} it cannot see {what}" for c, what in lacks.items())
    return f"edges sees {' and '.join(seen.values())}{less}"


def detect_edges(
    joins: JoinLog, targets: TargetSet, *, options: EdgesOptions | None = None
) -> Detection:
    r"""Rank groups by how much more often joins that came through them are of targets.

    A log may say of a join which group it was recommended from (``seed_group``) and who
    invited to it (``inviter``). A join comes *through* group g in one of three forms:
    ``seed``, recommended because of g; ``member``, invited because in g, whoever sends (the
    seed of the invitation, or, in a log without such seeds, any group that the receiver is
    in); ``fellow``, invited by a fellow member of g.

    *Model.* The slots of user u are all of u's joins; slot s is of a target with the log odds

        alpha_u + sum of beta_g over the groups that s came through
        + effects of its position, calendar, source, and surface.

    Given how many of u's joins are of targets, alpha_u drops out, and with it whatever is
    constant in a user. Position is the number of joins in earlier ticks; the surface says
    whether a join was recommended, invited to, or neither, so that g is held against the
    same users' other recommended joins as far as the surface's own odds, which are the same
    for all users, allow. In the form ``fellow`` the inviters' other invitations take part,
    too: the surface is split by the share of targets among them.

    *A set of targets.* A recommender shows the neighbours of a group, and some group is the
    neighbour of any target. Of a seed that is claimed to lead to the targets as a set, the
    joins of the target that is most often joined through it are left out once: the other
    targets alone must raise the odds, too. Its p-value is the larger of both, the second that
    of a ratio of at most 1; its score the mean of both modes (``breadth = "set"``).

    *Score.* The largest posterior mode of beta_g over the forms, prior Normal(0, 1 /
    penalty). *Estimate.* exp(beta_g) by conditional maximum likelihood with the others held,
    of the form with the least p-value, and its 95 % likelihood interval. *p-value.*
    One-sided, of the null that the ratio is at most ``least_ratio``, by saddlepoint; of
    several forms the least, times their number (Bonferroni). ``n_joiners`` counts joins
    through the group by users who join a target, ``n_events`` those that are of a target.

    *When it misleads.* A log holds joins, not what was shown: it cannot tell a surface that
    shows targets from users who take them up, and a group whose members like what it
    recommends is called, too; then it does lead them. What changes in a user over time and
    goes with g and with targets is taken for an effect, as is an offset of a surface that
    differs between users and goes with g. Seeds that share members with targets lead there
    without anybody's intent: that is an effect, and is called, look-alike or not.

    Cost: at most three passes over the joins; memory for the joins of users who join a
    target and have a trace.

    Returns
    -------
    Detection
        With the extra columns ``least_ratio``, ``form`` (of the estimate) and, for each of
        the forms: ``joins``, ``targets`` (through the group), ``ratio``, ``ratio_low``,
        ``ratio_high``, ``p_value``, ``score``, ``averted``, ``averted_low``,
        ``averted_high``: how many of the target joins through g would not have been, targets
        x (1 - 1 / ratio), the attributable fraction among the exposed. NaN in a form that
        cannot be seen.

    Raises
    ------
    LogError
        If the log has neither column.

    References
    ----------
    Conditional logistic regression: Breslow, Day (1980), "Statistical methods in cancer
    research" I, chapter 7; Chen, Dempster, Liu (1994), Biometrika 81(3), for the chances.
    Attributable fraction: Miettinen (1974), Am. J. Epidemiol. 99(5).
    """
    options = options or EdgesOptions()
    forms = forms_of(joins)
    if not forms:
        raise LogError(traces_of(joins))
    cases = collect_cases(joins, targets)
    several = int(np.count_nonzero(joins.sizes()[targets.mask])) > 1
    breadth = several and options.breadth == "set"
    through: list[Entries] = []
    seen = {}
    for form in FORMS:
        if form in forms:
            entries = entries_of(joins, cases, form)
            through.append(entries)
            sender = sender_classes(joins, targets, cases) if form == "fellow" else None
            of_a_set = breadth and form == "seed"
            seen[form] = look_at(
                cases, entries, options, n_groups=joins.n_groups, sender=sender, of_a_set=of_a_set
            )
        else:
            seen[form] = _unseen(joins.n_groups)
    n, k = _count_once(cases, through, joins.n_groups)
    return _findings(seen, n, k, options).rank(
        EDGES, joins, targets, min_joiners=options.min_joiners, alpha=options.alpha,
        flaggable=k >= options.min_events,
    )  # fmt: skip


def look_at(
    cases: Cases,
    entries: Entries,
    options: EdgesOptions,
    *,
    n_groups: int,
    sender: Int64 | None = None,
    of_a_set: bool = False,
) -> Seen:
    """Fit one form: joins that came through each group, or by each inviter, against the others.

    Parameters
    ----------
    cases, entries
        Users with their joins, and which of these came through what.
    options
        ``penalty`` and ``least_ratio``.
    n_groups
        Number of groups, or of inviters.
    sender
        Classes of inviters (``sender_classes``), where these take part.
    of_a_set
        Whether the joins without the most frequent target must be raised, too.
    """
    if not len(entries.row):
        return _unseen(n_groups)
    slots = slots_of(cases, entries, n_groups=n_groups, sender=sender)
    fit = fit_slots(slots, penalty=options.penalty)
    effects = estimate_effects(pairs_of(slots, fit), null=float(np.log(options.least_ratio)))
    known, beta, p = effects.informative, fit.beta, norm.sf(effects.root)
    if of_a_set:
        entries_of_others = without_most_frequent(cases, entries, n_groups)
        held = slots_of(cases, entries_of_others, n_groups=n_groups, sender=sender)
        others = estimate_effects(pairs_of(held, fit))
        p = np.maximum(p, np.where(others.informative, norm.sf(others.root), 1.0))
        beta = 0.5 * (beta + np.minimum(beta, fit_slots(held, penalty=options.penalty).beta))
    n, k = _count_once(cases, [entries], n_groups)
    return Seen(
        beta=beta,
        ratio=np.where(known, np.exp(effects.log_ratio), np.nan),
        low=np.where(known, np.exp(effects.low), np.nan),
        high=np.where(known, np.exp(effects.high), np.nan),
        p=np.where(known, p, np.nan),
        n_joins=n,
        n_targets=k,
    )


def _unseen(n_groups: int) -> Seen:
    nothing, none = np.full(n_groups, np.nan), np.zeros(n_groups, np.int64)
    return Seen(np.zeros(n_groups), nothing, nothing, nothing, nothing, none, none)


def _count_once(cases: Cases, through: list[Entries], n_groups: int) -> tuple[Int64, Int64]:
    """Count joins, and joins of targets, that came through each group in any of the ways."""
    key = sorted_set(np.concatenate([e.row * n_groups + e.group for e in through]))
    row, group = np.divmod(key, n_groups)
    n = np.bincount(group, minlength=n_groups)
    k = np.bincount(group[cases.event[row]], minlength=n_groups)
    return n.astype(np.int64), k.astype(np.int64)


def _findings(seen: dict[str, Seen], n: Int64, k: Int64, options: EdgesOptions) -> Findings:
    """Join the forms: the strongest evidence speaks, and pays for having been chosen."""
    p = np.array([seen[form].p for form in FORMS])
    first = np.nanargmin(np.where(np.isnan(p).all(axis=0), 1.0, p), axis=0)
    at = np.arange(len(n))
    ratio, low, high = (
        np.array([getattr(seen[form], name) for form in FORMS])[first, at]
        for name in ("ratio", "low", "high")
    )
    tested = (~np.isnan(p)).sum(axis=0)
    extra: dict[str, Any] = {
        "least_ratio": np.full(len(n), options.least_ratio),
        "form": np.where(tested > 0, np.array(FORMS)[first], ""),
    }
    for form in FORMS:
        extra |= seen[form].columns(form)
    return Findings(
        score=np.max([seen[form].beta for form in FORMS], axis=0),
        estimate=ratio,
        ci_low=low,
        ci_high=high,
        n_joiners=n,
        n_events=k,
        p_value=np.where(tested > 0, np.minimum(p[first, at] * tested, 1.0), np.nan),
        extra=extra,
    )
