"""How a join log is stored in a table: joins as rows, the rest in the metadata.

Any program that reads Parquet or Arrow sees the joins, with names and times in full.
What rows cannot hold (users and groups without a join, the origin of time) stands in the
table's metadata as JSON, so that reading the table back gives the same log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.errors import LogError
from gateway.log.invariants import STAYS
from gateway.log.messages import complaint, shown
from gateway.log.sources import SOURCES
from gateway.log.ticks import instants
from gateway.log.times import parse_times
from gateway.log.windows import WINDOW

__all__ = ["MARK", "fields_of", "is_marked", "named", "not_restored", "table_of"]

MARK = b"gateway.join_log"
_FORMAT = 1
# A chunk of Arrow text holds at most 2 GiB; a million names are far below.
_CHUNK = 1 << 20


def named(ids: npt.NDArray[Any], names: pa.StringArray) -> pa.ChunkedArray:
    """Return the name of each id, null for -1.

    Parameters
    ----------
    ids
        Integers, shape (n,), in [-1, len(names)).
    names
        Names.
    """
    pieces = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
    chunks = [names.take(pa.array(piece, mask=piece < 0)) for piece in pieces]
    return pa.chunked_array(chunks, type=pa.string())


def is_marked(table: pa.Table) -> bool:
    """Return whether the table is a join log that this package stored."""
    return MARK in (table.schema.metadata or {})


def table_of(fields: Mapping[str, Any]) -> pa.Table:
    """Return a log as a table, one join a row, that ``fields_of`` can turn back.

    Parameters
    ----------
    fields
        The fields of a ``JoinLog`` by name, which says what each of them is.

    Returns
    -------
    pyarrow.Table
        ``user``, ``group``, ``time``; of ``source``, ``confirmed``, ``inviter`` and
        ``seed_group`` what the log has, with names for ids; ``observed_from`` where it is
        known, and ``observed_until`` there or where it is not the last join for every user.
    """
    users, groups = fields["users"], fields["groups"]
    user = np.repeat(np.arange(len(users)), np.diff(fields["offsets"]))
    columns: dict[str, Any] = {
        "user": named(user, users),
        "group": named(fields["group"], groups),
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
            columns[name] = named(fields[name], names)
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


def _instants(fields: Mapping[str, Any], ticks: npt.NDArray[Any]) -> pa.Array:
    return instants(pa.array(ticks.astype(np.int64) + fields["origin"]), fields["tick"])


def fields_of(table: pa.Table, *, where: object) -> dict[str, Any]:
    """Return the fields of the stored log, as ``JoinLog.from_arrays`` takes them.

    Parameters
    ----------
    table
        A marked table.
    where
        What the table is called in messages.

    Raises
    ------
    LogError
        If a newer version stored the table, or something changed it in a way that its
        metadata do not bear.
    """
    try:
        facts = json.loads(table.schema.metadata[MARK])
        if facts["format"] != _FORMAT:
            rule = f"must be of format {_FORMAT}; another version of gateway wrote it"
            raise complaint(where, "the join log", rule, got=shown(facts["format"]))
        return _fields(table, facts, where)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise not_restored(where, error) from error


def not_restored(where: object, reason: Exception) -> LogError:
    """Return the error for a stored log that contradicts itself."""
    rule = "cannot be restored; was it changed by another program?"
    return complaint(where, "the join log", rule, got=str(reason))


def _fields(table: pa.Table, facts: Mapping[str, Any], where: object) -> dict[str, Any]:
    user, users = _indexed(table["user"], facts["idle_users"])
    group, groups = _indexed(table["group"], facts["idle_groups"])
    fields = {
        "user": user,
        "group": group,
        "time": _ticks(table, "time", facts, where),
        "users": users,
        "groups": groups,
        "tick": facts["tick"],
        "origin": facts["origin"],
    }
    for name in WINDOW:
        if name in table.column_names:
            window = np.empty(len(users), np.int64)
            window[user] = _ticks(table, name, facts, where)
            window[len(users) - len(facts["idle_users"]) :] = facts[f"idle_{name}"]
            fields[name] = window
    sources = tuple(facts.get("sources", SOURCES))
    if "left" in table.column_names:
        column = table["left"]
        gone = np.full(len(column), STAYS, np.int64)
        known = column.is_valid().to_numpy(zero_copy_only=False)
        gone[known] = _ticks(table.filter(column.is_valid()), "left", facts, where)
        fields["left"] = gone
    return fields | {"sources": sources} | _optional(table, users, groups, sources)


def _optional(
    table: pa.Table, users: pa.StringArray, groups: pa.StringArray, sources: Sequence[str]
) -> dict[str, Any]:
    known = {"source": pa.array(sources), "inviter": users, "seed_group": groups}
    found: dict[str, Any] = {
        name: _index_in(table, name, names)
        for name, names in known.items()
        if name in table.column_names
    }
    if "confirmed" in table.column_names:
        found["confirmed"] = table["confirmed"].to_numpy()
    return found


def _index_in(table: pa.Table, name: str, names: pa.StringArray) -> npt.NDArray[np.int64]:
    """Return the index of each value among the names, -1 for null."""
    column = table[name].cast(pa.string())
    index = pc.index_in(column, value_set=names, skip_nulls=True)
    if index.null_count != column.null_count:
        raise ValueError(f"column {name!r} mentions what the log does not know")
    filled: npt.NDArray[np.int64] = pc.fill_null(index, -1).to_numpy().astype(np.int64)
    return filled


def _indexed(
    column: pa.ChunkedArray, idle: Sequence[str]
) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
    """Return the index of each value among the values that occur, then the idle names."""
    encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    names = pa.concat_arrays([encoded.dictionary, pa.array(idle, pa.string())])
    return encoded.indices.to_numpy().astype(np.int64), names


def _ticks(
    table: pa.Table, name: str, facts: Mapping[str, Any], where: object
) -> npt.NDArray[np.int64]:
    column = table[name]
    if len(column) == 0:
        return np.empty(0, np.int64)
    ticks = parse_times(column, where=where, what=f"column {name!r}").ticks
    since: npt.NDArray[np.int64] = ticks.to_numpy() - int(facts["origin"])
    return since
