"""How a join log is stored in a table: joins as rows, the rest in the metadata.

Any program that reads Parquet or Arrow sees the joins, with names and times in full.
What rows cannot hold (users and groups without a join, the origin of time) stands in the
table's metadata as JSON, so that reading the table back gives the same log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.arrays import AnyArray, Int64
from gateway.errors import LogError, shown
from gateway.log.invariants import SOURCES, STAYS, WINDOW
from gateway.log.messages import complaint
from gateway.log.times import Tick, instants

MARK = b"gateway.join_log"
_FORMAT = 1
# A chunk of Arrow text holds at most 2 GiB; a million names are far below.
_CHUNK = 1 << 20


def _named(ids: AnyArray, names: pa.StringArray) -> pa.ChunkedArray:
    """Return the name of each id, null for -1."""
    pieces = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
    chunks = [names.take(pa.array(piece, mask=piece < 0)) for piece in pieces]
    return pa.chunked_array(chunks, type=pa.string())


def table_of(fields: Mapping[str, Any]) -> pa.Table:
    """Return the table of ``JoinLog.to_arrow`` of the fields of a log by name."""
    users, groups = fields["users"], fields["groups"]
    user = np.repeat(np.arange(len(users)), np.diff(fields["offsets"]))
    columns: dict[str, Any] = {
        "user": _named(user, users),
        "group": _named(fields["group"], groups),
        "time": _instants(fields, fields["time"]),
    }
    if fields["source"] is not None:
        sources = fields["sources"]
        kind = np.int8 if len(sources) <= np.iinfo(np.int8).max else np.int16
        codes = pa.array(fields["source"].astype(kind))
        columns["source"] = pa.DictionaryArray.from_arrays(codes, pa.array(sources, pa.string()))
    if fields["confirmed"] is not None:
        columns["confirmed"] = pa.array(fields["confirmed"])
    for name, names in (("inviter", users), ("seed_group", groups)):
        if fields[name] is not None:
            columns[name] = _named(fields[name], names)
    if fields["left"] is not None:
        gone = pa.array(fields["left"].astype(np.int64) + fields["origin"],
                        mask=fields["left"] == STAYS)  # fmt: skip
        columns["left"] = instants(gone, fields["tick"])
    for name in _told(fields):
        columns[name] = _instants(fields, fields[name][user])
    header = json.dumps(_facts(fields), sort_keys=True)
    return pa.table(columns, metadata={MARK: header.encode()})


def _facts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the rows do not say."""
    users, groups = fields["users"], fields["groups"]
    idle = np.flatnonzero(np.diff(fields["offsets"]) == 0)
    empty = np.flatnonzero(np.bincount(fields["group"], minlength=len(groups)) == 0)
    return {
        "format": _FORMAT,
        "tick": fields["tick"],
        "origin": fields["origin"],
        "idle_users": users.take(pa.array(idle)).to_pylist(),
        "idle_groups": groups.take(pa.array(empty)).to_pylist(),
        **({} if fields["sources"] == SOURCES else {"sources": list(fields["sources"])}),
        **{f"idle_{name}": fields[name][idle].tolist() for name in _told(fields)},
    }


def _told(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of the users' windows a reader of the joins would not know."""
    if fields["observed_from"] is not None:
        return WINDOW
    time = fields["time"]
    ends_itself = len(time) > 0 and (fields["observed_until"] == time.max()).all()
    return () if ends_itself else WINDOW[1:]


def _instants(fields: Mapping[str, Any], ticks: AnyArray) -> pa.Array:
    return instants(pa.array(ticks.astype(np.int64) + fields["origin"]), fields["tick"])


@dataclass(frozen=True, eq=False)
class Told:
    """What a stored log says beside its joins; ``tick``, ``origin``, ``sources`` as in a log."""

    tick: Tick
    origin: int
    sources: tuple[str, ...]
    # Names of those without a join.
    users: pa.StringArray
    groups: pa.StringArray
    # Ends of these users' observation since the origin, where the rows tell those of theirs.
    windows: Mapping[str, Int64]


def told_in(metadata: Mapping[bytes, bytes], roles: Iterable[str], where: object) -> Told | None:
    """Return what the metadata of a table tell that holds a stored log; None for any other.

    ``roles`` are what its columns hold. Raises a LogError if another version stored the table,
    or its metadata contradict themselves.
    """
    if MARK not in metadata:
        return None
    try:
        facts = json.loads(metadata[MARK])
        if facts["format"] != _FORMAT:
            rule = f"must be of format {_FORMAT}; another version of gateway wrote it"
            raise complaint(where, "the join log", rule, got=shown(facts["format"]))
        told = Told(
            tick=facts["tick"],
            origin=int(facts["origin"]),
            sources=tuple(facts.get("sources", SOURCES)),
            users=pa.array(facts["idle_users"], pa.string()),
            groups=pa.array(facts["idle_groups"], pa.string()),
            windows={name: np.array(facts[f"idle_{name}"], np.int64)
                     for name in WINDOW if name in roles},
        )  # fmt: skip
        if any(len(window) != len(told.users) for window in told.windows.values()):
            raise ValueError("every user without a join must have a window")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise not_restored(where, error) from error
    return told


def not_restored(where: object, reason: Exception) -> LogError:
    """Return the error for a stored log that contradicts itself."""
    rule = "cannot be restored; was it changed by another program?"
    return complaint(where, "the join log", rule, got=str(reason))
