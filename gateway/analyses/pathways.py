"""From gateway groups through sources to targets: which group a request of R1 came after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.analyses.join_sources import gateway_requests
from gateway.analyses.record import Record
from gateway.log.join_log import SOURCES

__all__ = ["PATHWAYS_SCHEMA", "pathways"]

Int64 = npt.NDArray[np.int64]

PATHWAYS_SCHEMA = pa.schema(
    [
        ("gateway", pa.string()),
        ("source", pa.string()),
        ("requests", pa.int64()),
        ("confirmed", pa.int64()),
    ]
)


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
    columns = (gateway, source, requests, confirmed)
    arrays = [
        column.combine_chunks() if isinstance(column, pa.ChunkedArray)
        else column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, PATHWAYS_SCHEMA, strict=True)
    ]  # fmt: skip
    return pa.table(arrays, schema=PATHWAYS_SCHEMA)


def _last_gateway(
    record: Record, user: npt.NDArray[np.int32], time: npt.NDArray[np.int32]
) -> Int64:
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
