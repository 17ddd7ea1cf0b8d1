"""R1, R2, R4, R5: the ways on which gateway members came to targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from gateway.analyses.proportions import Share, clustered_share, wilson
from gateway.analyses.published import (
    GATEWAY_INVITATION_SHARE,
    SECOND_SOURCES,
    SOURCES_EVER,
    SUPER_INVITER_SHARE,
    Row,
    SourceCount,
    compare,
)
from gateway.analyses.record import Record
from gateway.arrays import Int32, Int64, Mask
from gateway.log.join_log import SOURCES
from gateway.tabular import schema_of, table_of

REST = "all others"
"""Sources that the note's table does not name, taken together."""
SHARE_TOLERANCE, CONFIRMATION_TOLERANCE = 0.02, 0.03


def gateway_requests(record: Record) -> Mask:
    """Return which requests the tables count, bool, shape (n_requests,).

    Requests to join a target group, by users who had joined a top gateway group on an
    earlier day (a gateway joined on the same day may have come after).
    """
    asked, member_since = record.requests, record.first_join(record.is_top)
    is_late = asked.time > member_since[asked.user]
    return np.asarray(record.is_target[asked.group] & is_late)


def join_sources(record: Record) -> pa.Table:
    """Return R1: shares of join requests by source, and the share confirmed, over all time.

    Shares are of all requests. The note's table has fifteen rows of which eight are named;
    its seven others are compared as one, with the two of our ten sources that the table
    does not name (``groups_discover_tab`` and ``permalink``). ``of named`` rows take the
    eight named sources alone as the whole.

    Intervals of shares are clustered by user; those of confirmation are Wilson's.
    """
    counted = gateway_requests(record)
    return compare(
        [
            *_of_all(record, counted),
            _confirmed(record, counted),
            *_confirmed_by_source("R1", record, counted, SOURCES_EVER),
            *_of_named(record, counted),
        ]
    )


def second_table(record: Record) -> pa.Table:
    """Return R2: the share confirmed of the sources that the note's second table names.

    Whom that table counts is not known, so its numbers of requests have no counterpart here.
    A share confirmed does not depend on who is counted, as far as it is the source's own, as
    in the simulator: ours are of the requests of R1. There each source has one such share,
    and where the two tables differ (mobile_add_members: .624 and .541) it meets one of them.
    """
    counted = gateway_requests(record)
    rows = _confirmed_by_source("R2", record, counted, SECOND_SOURCES)
    return compare(row for row in rows if not row.quantity.startswith(REST))


def _named(table: Sequence[SourceCount]) -> list[str]:
    return [row.source for row in table if row.source is not None]


def _source_rows(record: Record, counted: Mask, table: Sequence[SourceCount]) -> dict[str, Mask]:
    """Of the counted requests, those of each named source and of the rest."""
    name = np.array(SOURCES)[record.requests.source[counted]]
    rows = {source: name == source for source in _named(table)}
    return rows | {REST: ~np.isin(name, _named(table))}


def _requested(table: Sequence[SourceCount], source: str) -> int:
    wanted = None if source == REST else source
    return sum(row.requests for row in table if row.source == wanted)


def _published(table: Sequence[SourceCount], source: str) -> float | None:
    """Published share confirmed; None where the table has no such row."""
    rows = [row for row in table if row.source == (None if source == REST else source)]
    requests = sum(row.requests for row in rows)
    return sum(row.confirmed for row in rows) / requests if requests else None


def _of_all(record: Record, counted: Mask) -> Iterator[Row]:
    total, user = sum(row.requests for row in SOURCES_EVER), record.requests.user[counted]
    yield Row("R1", "requests", float(counted.sum()), published=float(total))
    for source, hit in _source_rows(record, counted, SOURCES_EVER).items():
        share, interval = clustered_share(hit, user)
        published = _requested(SOURCES_EVER, source) / total
        yield Row("R1", f"{source}: share of requests", share, interval, published, SHARE_TOLERANCE)


def _of_named(record: Record, counted: Mask) -> Iterator[Row]:
    table, user = SOURCES_EVER, record.requests.user[counted]
    rows = _source_rows(record, counted, table)
    named, total = ~rows[REST], sum(_requested(table, source) for source in _named(table))
    for source in _named(table):
        share, interval = clustered_share(rows[source][named], user[named])
        published = _requested(table, source) / total
        yield Row("R1", f"{source}: share of named requests", share, interval, published)


def _confirmed(record: Record, counted: Mask) -> Row:
    share = Share.of(record.requests.confirmed[counted])
    requests, confirmed = (sum(n) for n in list(zip(*SOURCES_EVER, strict=True))[1:])
    published = confirmed / requests
    return Row("R1", "confirmed", share.value, wilson(share), published, CONFIRMATION_TOLERANCE)


def _confirmed_by_source(
    claim: str, record: Record, counted: Mask, table: Sequence[SourceCount]
) -> Iterator[Row]:
    confirmed = record.requests.confirmed[counted]
    for source, hit in _source_rows(record, counted, table).items():
        share, published = Share.of(confirmed, hit), _published(table, source)
        tolerance = None if published is None else CONFIRMATION_TOLERANCE
        yield Row(claim, f"{source}: confirmed", share.value, wilson(share), published, tolerance)


INVITATION_TOLERANCE = 0.05


def invited_members(record: Record) -> pa.Table:
    """Return R4 and R5.

    R4: of the invitations to target groups, the share that went to somebody who had joined
    a top gateway group on an earlier day. R5: of *those*, the share that super-inviters
    sent (``InvitationLog.super_inviters``: the top 1 % of users by invitations sent).

    Beside them, what the note asks and does not answer: the same by whether the *sender* had
    joined a top gateway group, for invitations to targets and to other groups (gateways are a
    source of invitations to targets only as far as the two differ); and whether super-inviters
    turn to members of gateways more than other senders do.

    Invitations come in bulk, so intervals are clustered by sender.
    """
    sent, member_since = record.invitations, record.first_join(record.is_top)
    to_target, by_super = record.is_target[sent.group], sent.super_inviter[sent.sender]
    to_member, by_member = (sent.time > member_since[user] for user in (sent.receiver, sent.sender))

    def share(hit: Mask, among: Mask) -> tuple[float, tuple[float, float]]:
        return clustered_share(hit[among], sent.sender[among])

    both, everything = to_target & to_member, np.ones(len(to_target), bool)
    rows = [
        Row("R4", "share of invitations to targets that went to gateway members",
            *share(to_member, to_target), GATEWAY_INVITATION_SHARE, INVITATION_TOLERANCE),
        Row("R4", "invitations to targets that went to gateway members",
            float(np.count_nonzero(both)), published=730_000.0),
        Row("R4", "share of invitations to other groups that went to gateway members",
            *share(to_member, ~to_target)),
    ]  # fmt: skip
    for where, among in (("targets", to_target), ("other groups", ~to_target)):
        for how, hit in (
            ("that gateway members sent to gateway members", by_member & to_member),
            ("that gateway members sent to others", by_member & ~to_member),
            ("that others sent to gateway members", ~by_member & to_member),
        ):
            rows.append(Row("R4", f"share of invitations to {where} {how}", *share(hit, among)))
    rows += [
        Row("R5", "share of those that super-inviters sent",
            *share(by_super, both), SUPER_INVITER_SHARE, INVITATION_TOLERANCE),
        Row("R5", "share of all invitations that super-inviters sent",
            *share(by_super, everything)),
        Row("R5", "share of invitations to targets and to no gateway member that super-inviters "
            "sent", *share(by_super, to_target & ~to_member)),
        Row("R5", "share of super-inviters' invitations that went to gateway members",
            *share(to_member, by_super)),
        Row("R5", "share of other senders' invitations that went to gateway members",
            *share(to_member, ~by_super)),
        Row("R5", "share of super-inviters' invitations that gateway members sent",
            *share(by_member, by_super)),
    ]  # fmt: skip
    return compare(rows)


PATHWAYS_SCHEMA = schema_of("gateway string, source string, requests int64, confirmed int64")


def pathways(record: Record) -> pa.Table:
    """Return the requests that R1 counts, by the gateway group before them and by source.

    A request belongs to the top gateway group that its user joined last before it, on an
    earlier day; of several joined on that day, to the one that ranks best. That a request
    came after a group does not say that it came because of it.

    Returns
    -------
    pyarrow.Table
        Columns of ``PATHWAYS_SCHEMA``, gateway groups by rank, sources in the order of
        ``SOURCES``; pairs without a request are left out.
    """
    counted = gateway_requests(record)
    place = _last_gateway(record, record.requests.user[counted], record.requests.time[counted])
    pair = place * len(SOURCES) + record.requests.source[counted]
    found, index = np.unique(pair, return_inverse=True)
    requests = np.bincount(index, minlength=len(found))
    confirmed = np.bincount(index[record.requests.confirmed[counted]], minlength=len(found))
    gateway = record.joins.groups.take(pa.array(record.top[found // len(SOURCES)]))
    source = [SOURCES[code] for code in found % len(SOURCES)]
    return table_of(PATHWAYS_SCHEMA, (gateway, source, requests, confirmed))


def _last_gateway(record: Record, user: Int32, time: Int32) -> Int64:
    """Return the place in ``record.top`` of each request's gateway group, shape (n_requests,).

    Each user must have joined one before: ``gateway_requests`` sees to it.
    """
    rank = np.full(record.joins.n_groups, -1, np.int64)
    rank[record.top] = np.arange(len(record.top))
    place = rank[record.joins.group]
    is_top = place >= 0
    place, joiner, day = place[is_top], record.joins.user()[is_top], record.joins.time[is_top]
    # The best of a day stands last, where the search below ends.
    order = np.lexsort((-place, day, joiner))
    span = np.int64(record.days + 1)
    joined = joiner[order].astype(np.int64) * span + day[order]
    asked = user.astype(np.int64) * span + time
    return place[order][np.searchsorted(joined, asked, side="left") - 1]
