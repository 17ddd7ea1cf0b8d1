"""The note's questions on people: who invites whom, and who brings people to targets.

Are gateway groups targeted by super-inviters? Are their members a big source of invitations?
Invitations come in bulk and some people send very many, so intervals are clustered by sender.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from gateway.analyses.proportions import clustered_share
from gateway.analyses.record import Invitations
from gateway.arrays import Float64, Mask
from gateway.config.detectors import EdgesOptions
from gateway.detect.edges.detector import look_at
from gateway.detect.edges.traces import Entries, collect_cases
from gateway.detect.significance import benjamini_hochberg
from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.simulate.log import super_inviters
from gateway.tabular import schema_of, table_of
from gateway.targets import TargetSet

_Z = 1.959964
ACTORS_SCHEMA = schema_of(
    "question string, quantity string, value float64, ci_low float64, ci_high float64"
)
INVITERS_SCHEMA = schema_of(
    "user string, n_invited int64, n_targets int64, ratio float64, ratio_low float64, "
    "ratio_high float64, score float64, p_value float64, q_value float64, averted float64, "
    "flagged bool, super_inviter bool, in_gateway bool"
)


class _Row(NamedTuple):
    question: str
    quantity: str
    value: float
    ci_low: float
    ci_high: float


def invitations_in(joins: JoinLog) -> Invitations:
    """Return the invitations that a log of joins shows: those that were accepted.

    Super-inviters are the top 1 % of users by such invitations; whoever ties with the last
    of them is among them, who has none is not.

    Raises
    ------
    LogError
        If the log has no column ``inviter``.
    """
    if joins.inviter is None:
        raise LogError("the log needs the column inviter, which says who invited to a join")
    row = np.flatnonzero(joins.inviter >= 0)
    return Invitations(
        sender=joins.inviter[row], receiver=joins.user()[row], group=joins.group[row],
        time=joins.time[row], super_inviter=super_inviters(joins.inviter[row], joins.n_users),
    )  # fmt: skip


def inviting(joins: JoinLog, sent: Invitations, *, gateways: Mask, targets: Mask) -> pa.Table:
    """Answer the note's two questions on gateway groups and invitations.

    *Targeted*: the share of invitations that super-inviters send, of those into gateway groups
    and of those to people who joined one on an earlier day, each beside the other
    invitations, and the difference. *Source*: the share of invitations that members of gateway
    groups send, of all and of those to targets, and how many they send for each of their joins
    beside how many others do, and the ratio. Users who send no invitation count there, too.

    Parameters
    ----------
    sent
        Invitations, as the platform sent them, or as ``invitations_in`` finds them.
    gateways, targets
        bool, shape (n_groups,).

    Returns
    -------
    pyarrow.Table
        Columns of ``ACTORS_SCHEMA``; 95 % intervals clustered by sender, NaN with fewer than
        two senders.
    """
    user, day = joins.user(), joins.time.astype(np.int64)
    since = np.full(joins.n_users, np.iinfo(np.int64).max)
    np.minimum.at(since, user[gateways[joins.group]], day[gateways[joins.group]])
    by_super = sent.super_inviter[sent.sender]
    to_member, by_member = sent.time > since[sent.receiver], sent.time > since[sent.sender]
    rows = [
        *_beside("targeted", "invitations into gateway groups that super-inviters send",
                 by_super, gateways[sent.group], sent.sender),
        *_beside("targeted", "invitations to their members that super-inviters send",
                 by_super, to_member, sent.sender),
        *_beside("source", "invitations to targets that members of gateway groups send",
                 by_member, targets[sent.group], sent.sender),
        *_rates(by_member, sent.sender, day > since[user], user, joins.n_users),
    ]  # fmt: skip
    return table_of(ACTORS_SCHEMA, tuple(zip(*rows, strict=True)))


def _beside(question: str, what: str, hit: Mask, among: Mask, sender: np.ndarray) -> Iterator[_Row]:
    """Yield a share, that of the others, and their difference."""
    inside, outside = (clustered_share(hit[of], sender[of]) for of in (among, ~among))
    yield _Row(question, f"share of {what}", inside[0], *inside[1])
    yield _Row(question, "the same share of the other invitations", outside[0], *outside[1])
    gap = inside[0] - outside[0]
    each = np.where(among, (hit - inside[0]) / max(among.sum(), 1),
                    -(hit - outside[0]) / max((~among).sum(), 1))  # fmt: skip
    half = _Z * _clustered_error(each, sender)
    yield _Row(question, "difference", gap, gap - half, gap + half)


def _clustered_error(each: Float64, cluster: np.ndarray) -> float:
    """Standard error of a sum of linearised terms, NaN with fewer than two clusters."""
    _, of = np.unique(cluster, return_inverse=True)
    total = np.bincount(of, each)
    n = len(total)
    return float(np.sqrt((total**2).sum() * n / (n - 1))) if n > 1 else float("nan")


def _rates(
    by_member: Mask, sender: np.ndarray, as_member: Mask, user: np.ndarray, n_users: int
) -> Iterator[_Row]:
    """Yield invitations for each join, of members of gateway groups and of others; the ratio."""
    rate, each = [], np.zeros(n_users)
    for name, sent, joined in (
        ("members", by_member, as_member),
        ("others", ~by_member, ~as_member),
    ):
        letters = np.bincount(sender[sent], minlength=n_users).astype(float)
        chances = np.bincount(user[joined], minlength=n_users).astype(float)
        value = letters.sum() / chances.sum() if chances.sum() else float("nan")
        term = (letters - value * chances) / max(letters.sum(), 1.0)
        half = _Z * _clustered_error(term, np.arange(n_users)) * value
        yield _Row("source", f"invitations for each join of {name}", value, value - half,
                   value + half)  # fmt: skip
        rate.append(value)
        each += term if name == "members" else -term
    ratio = rate[0] / rate[1] if rate[1] else float("nan")
    spread = float(np.exp(_Z * _clustered_error(each, np.arange(n_users))))
    yield _Row("source", "ratio", ratio, ratio / spread, ratio * spread)


def rank_inviters(
    joins: JoinLog,
    targets: TargetSet,
    *,
    gateways: Mask | None = None,
    options: EdgesOptions | None = None,
) -> pa.Table:
    """Rank users by how much more often joins that they invite to are of targets.

    The conditional logistic regression of ``detect_edges`` with the inviter in place of the
    group: the slots of a user are all of the user's joins, invited ones a surface of their
    own, so that an inviter is held against the same receivers' other invitations, as far as
    that surface's own odds are the same for all receivers.

    Parameters
    ----------
    joins, targets
        The log, with the column ``inviter``, and the target set.
    gateways
        bool, shape (n_groups,): groups of which an inviter's membership is told; None for
        nothing told.
    options
        ``least_ratio``, ``penalty``, ``min_events`` and ``alpha`` as for ``edges``.

    Returns
    -------
    pyarrow.Table
        Columns of ``INVITERS_SCHEMA``, best first, of users who invited somebody who joins a
        target at some time; q-values by Benjamini and Hochberg over them.

    Raises
    ------
    LogError
        If the log has no column ``inviter``.
    """
    options = options or EdgesOptions()
    sent = invitations_in(joins)
    cases = collect_cases(joins, targets)
    row = np.flatnonzero(cases.invited)
    who, of = np.unique(cases.inviter[row], return_inverse=True)
    if not len(who):
        return INVITERS_SCHEMA.empty_table()
    seen = look_at(cases, Entries(row, of.astype(np.int32)), options, n_groups=len(who))
    q = benjamini_hochberg(seen.p)
    member = np.zeros(joins.n_users, np.bool_)
    if gateways is not None:
        member[joins.user()[gateways[joins.group]]] = True
    order = np.lexsort((who, -seen.beta))
    columns = (
        joins.users.take(pa.array(who)), seen.n_joins, seen.n_targets, seen.ratio, seen.low,
        seen.high, seen.beta, seen.p, q, seen.columns("")["_averted"],
        (q < options.alpha) & (seen.n_targets >= options.min_events), sent.super_inviter[who],
        member[who],
    )  # fmt: skip
    return table_of(INVITERS_SCHEMA, columns).take(pa.array(order))
