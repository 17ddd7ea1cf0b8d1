"""R1, R2: through which sources members of gateway groups came into target groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.analyses.comparison import Row, compare
from gateway.analyses.proportions import Share, clustered_share, wilson
from gateway.analyses.published import RECENT_SOURCES, SOURCES_EVER, SourceCount
from gateway.analyses.record import Record
from gateway.log.join_log import SOURCES

__all__ = ["REST", "gateway_requests", "join_sources", "recent_join_sources"]

REST = "all others"
"""Sources that the note's table does not name, taken together."""
SHARE_TOLERANCE, CONFIRMATION_TOLERANCE = 0.02, 0.03

Mask = npt.NDArray[np.bool_]


def gateway_requests(record: Record, *, since: int = 0) -> Mask:
    """Return which requests the tables count, bool, shape (n_requests,).

    Requests to join a target group, by users who had joined a top gateway group on an
    earlier day (a gateway joined on the same day may have come after), from day ``since``.
    """
    asked, member_since = record.requests, record.first_join(record.is_top)
    is_late = asked.time > member_since[asked.user]
    return np.asarray(record.is_target[asked.group] & is_late & (asked.time >= since))


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
            *_of_all("R1", record, counted, SOURCES_EVER, tolerance=SHARE_TOLERANCE),
            *_confirmation("R1", record, counted, SOURCES_EVER, CONFIRMATION_TOLERANCE),
            *_of_named("R1", record, counted, SOURCES_EVER),
        ]
    )


def recent_join_sources(record: Record, *, window: int) -> pa.Table:
    """Return R2: the same of the last ``window`` days, beside the note's second table.

    That the table is of a recent window is the likely reading, not a certain one. No
    tolerance: sources have the same weights all the time in the simulator, so that it
    cannot come close to two unlike tables at once.
    """
    counted = gateway_requests(record, since=record.days - window)
    return compare(
        [
            *_of_all("R2", record, counted, RECENT_SOURCES),
            *_confirmation("R2", record, counted, RECENT_SOURCES),
            *_of_named("R2", record, counted, RECENT_SOURCES),
        ]
    )


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


def _confirmed_share(table: Sequence[SourceCount], source: str) -> float | None:
    """Published share confirmed; None where a part of it is not shown."""
    wanted = None if source == REST else source
    confirmed = [row.confirmed for row in table if row.source == wanted]
    if None in confirmed or not confirmed:
        return None
    return sum(n for n in confirmed if n is not None) / _requested(table, source)


def _of_all(
    claim: str,
    record: Record,
    counted: Mask,
    table: Sequence[SourceCount],
    *,
    tolerance: float | None = None,
) -> Iterator[Row]:
    total, user = sum(row.requests for row in table), record.requests.user[counted]
    yield Row(claim, "requests", float(counted.sum()), published=float(total))
    for source, hit in _source_rows(record, counted, table).items():
        share, interval = clustered_share(hit, user)
        published = _requested(table, source) / total
        yield Row(claim, f"{source}: share of requests", share, interval, published, tolerance)


def _of_named(
    claim: str, record: Record, counted: Mask, table: Sequence[SourceCount]
) -> Iterator[Row]:
    user, rows = record.requests.user[counted], _source_rows(record, counted, table)
    named, total = ~rows[REST], sum(_requested(table, source) for source in _named(table))
    for source in _named(table):
        share, interval = clustered_share(rows[source][named], user[named])
        published = _requested(table, source) / total
        yield Row(claim, f"{source}: share of named requests", share, interval, published)


def _confirmation(
    claim: str,
    record: Record,
    counted: Mask,
    table: Sequence[SourceCount],
    tolerance: float | None = None,
) -> Iterator[Row]:
    confirmed = record.requests.confirmed[counted]
    everything = Share(int(confirmed.sum()), len(confirmed))
    published = [row.confirmed for row in table]
    whole = sum(row.requests for row in table)
    known = None if None in published else sum(n for n in published if n is not None) / whole
    yield Row(claim, "confirmed", everything.value, wilson(everything), known, tolerance)
    for source, hit in _source_rows(record, counted, table).items():
        share = Share(int(confirmed[hit].sum()), int(hit.sum()))
        of_note = _confirmed_share(table, source)
        yield Row(claim, f"{source}: confirmed", share.value, wilson(share), of_note, tolerance)
