"""Any log into a folder of columns, in bounded memory: an external merge sort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.arrays import AnyArray, Int32, Int64
from gateway.errors import LogError
from gateway.log.checked_rows import NEVER, Block, iterate_blocks
from gateway.log.columns import Columns, pieces_of
from gateway.log.files import digest_of
from gateway.log.in_memory import Seen, all_of, code_sources, settled, told_by
from gateway.log.invariants import DTYPES, SOURCES, WINDOW
from gateway.log.log_table import Told
from gateway.log.mapped import ColumnWriter, Manifest, NamesWriter, read_manifest, write_manifest
from gateway.log.messages import complaint
from gateway.log.numbering import (
    Coded,
    Numbering,
    coded,
    inverse,
    names_of_keys,
    text_keys,
    text_order,
)
from gateway.log.sorting import sorted_with_order
from gateway.log.spill import Spill

_LEAST_MEMORY = 2**26
# Of it the libraries' own buffers take so much whatever the work (docs: join logs).
_RESERVE = 2**25
# Shares of the memory: what is read at once, sorted at once, and merged at once.
_BLOCK, _RUN, _MERGE = 256, 12, 12
_LARGEST_BLOCK, _LARGEST_RUN = 2**24, 2**28
_NUMBERED = ("group", "seed_group", "source")


def convert_log(
    path: str | Path, folder: str | Path, *, memory: int, columns: Columns | None = None
) -> Manifest:
    """Write a log into a folder that ``JoinLog.open`` maps.

    The result depends on the joins alone: not on the order of the rows, nor on the memory.
    It is what ``JoinLog.read`` would make of the log: of several joins of one user and
    group the earliest counts.

    Parameters
    ----------
    path
        CSV, gzip CSV, Parquet, or a folder of Parquet parts.
    folder
        An empty folder, to be renamed by the caller when all is well. Scratch files of
        about the size of the log unpacked lie in it for the time being.
    memory
        Bytes that the work may take beside the program itself; the names of the groups
        and sources, some 200 bytes each, come on top.
    columns
        Names of the columns and form of whole numbers; None for our own names.

    Returns
    -------
    Manifest
        As written into the folder.

    Raises
    ------
    LogError
        If the log cannot be used (file, column, row and rule), or the memory is too little.
    """
    path, folder, columns = Path(path), Path(folder), columns or Columns()
    if memory < _LEAST_MEMORY:
        rule = f"must be at least {_LEAST_MEMORY / 2**20:,.0f} MiB"
        raise LogError(f"the memory {rule}; got {memory / 2**20:,.1f} MiB")
    if read_manifest(path) is not None:
        raise complaint(path, "the log", "must be one to convert; it is converted already")
    pieces = pieces_of(path, columns)
    seen = _Seen(path, told_by(pieces, columns, path))
    free = memory - _RESERVE
    scratch = [folder / ".spill", folder / ".inviters"]
    try:
        with _frugal_arrow(), ExitStack() as stack:
            spill, inviters = (stack.enter_context(Spill(place)) for place in scratch)
            size = min(free // _BLOCK, _LARGEST_BLOCK)
            blocks = stack.enter_context(closing(iterate_blocks(pieces, columns, path, size=size)))
            for run in _runs(blocks, seen, min(free // _RUN, _LARGEST_RUN)):
                spill.add(run)
                pa.default_memory_pool().release_unused()
            return _Merge(folder, seen).write(spill, inviters, free // _MERGE)
    except OSError as error:
        got = error.strerror or str(error)
        raise complaint(folder, "the folder", "cannot be written", got=got) from error
    finally:
        for place in scratch:
            place.unlink(missing_ok=True)


@contextmanager
def _frugal_arrow() -> Iterator[None]:
    """Let Arrow take memory from the system, and give it back, rather than keep it."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)


class _Seen(Seen):
    """What is known of the log as a whole while it is read; groups and sources by number."""

    def __init__(self, where: Path, told: Told | None) -> None:
        super().__init__(where, told)
        self.groups: dict[str, int] = {}
        self.sources: dict[str, int] = {}

    def rows_of(self, block: Block) -> Iterator[tuple[Coded, dict[str, Any]]]:
        """Yield users, and columns, of a block; and of its inviters, who may join nothing.

        A row of no group is no join.
        """
        columns: dict[str, Any] = {role: times.ticks for role, times in block.times.items()}
        ticks, columns["time"] = columns["time"], self.ticks_of(block)
        columns |= {role: block.names[role] for role in _NUMBERED if role in block.names}
        if block.confirmed is not None:
            columns["confirmed"] = block.confirmed
        inviters = block.names.get("inviter")
        if inviters is not None:
            names = inviters.names.cast(pa.string())
            none = inviters.codes < 0
            columns["inviter"] = names.take(pa.array(inviters.codes, mask=none))
            if self.told is None and not none.all():
                yield self._there(Coded(names, inviters.codes[~none]), ticks[~none], columns)
        yield block.names["user"], columns

    def _there(
        self, who: Coded, ticks: Int64, like: Mapping[str, Any]
    ) -> tuple[Coded, dict[str, Any]]:
        """Return a row of no group for each user who was there at the first and the last tick."""
        known, place = np.unique(who.codes, return_inverse=True)
        first, last = np.full(len(known), NEVER), np.full(len(known), -NEVER)
        np.minimum.at(first, place, ticks)
        np.maximum.at(last, place, ticks)
        windows = dict(zip(WINDOW, (first, last), strict=True))
        return Coded(who.names, known.astype(np.int32)), _without_joins(like, windows, len(known))

    def idle_rows(self, like: Mapping[str, Any]) -> Iterator[tuple[Coded, dict[str, Any]]]:
        """Yield a row for each user who joins nothing, as a stored log tells."""
        if self.told is not None:
            for name in self.told.groups.to_pylist():
                self.groups.setdefault(name, len(self.groups))
            windows = {role: ticks + self.unit.origin for role, ticks in self.told.windows.items()}
            yield all_of(self.told.users), _without_joins(like, windows, len(self.told.users))


def _provisional(names: pa.StringArray, known: dict[str, int]) -> Int32:
    """Return numbers of names in the order in which they are met."""
    found = (known.setdefault(name, len(known)) for name in names.to_pylist())
    return np.fromiter(found, np.int32, len(names))


def _without_joins(like: Mapping[str, Any], windows: Mapping[str, Int64], n: int) -> dict[str, Any]:
    """Return columns as those of another table, for users who join nothing."""
    none = Coded(pa.array([], pa.string()), np.full(n, -1, np.int32))
    empty: dict[str, Any] = dict.fromkeys(_NUMBERED, none)
    empty |= {"inviter": pa.nulls(n, pa.string()), "confirmed": np.zeros(n, np.bool_)}
    empty["time"] = np.zeros(n, np.int32)
    return {role: empty.get(role, windows.get(role, np.full(n, -1, np.int64))) for role in like}


def _runs(blocks: Iterator[Block], seen: _Seen, most: int) -> Iterator[pa.Table]:
    """Yield runs of about so many bytes, sorted by user; their groups and sources are numbers."""
    held: list[tuple[Coded, dict[str, Any]]] = []
    size = 0
    columns: dict[str, Any] = {}
    for block in blocks:
        for users, columns in seen.rows_of(block):
            held.append((users, columns))
            size += _size(users) + sum(map(_size, columns.values()))
        if size >= most:
            yield _sorted_run(held, seen)
            held, size = [], 0
    held += seen.idle_rows(columns)
    if held:
        yield _sorted_run(held, seen)


def _size(column: Coded | AnyArray | pa.Array) -> int:
    """Return about the bytes of a column whose names are held once in a block."""
    if not isinstance(column, Coded):
        return int(column.nbytes)
    text = column.names.nbytes / max(len(column.names), 1)
    return column.codes.nbytes + int(text * min(len(column.codes), len(column.names)))


def _sorted_run(held: list[tuple[Coded, dict[str, Any]]], seen: _Seen) -> pa.Table:
    user, order = _in_order([users for users, _ in held])
    found = {"user": user}
    numbers = _numbers(held, seen)
    for role in held[0][1]:
        chunks = numbers.get(role) or [columns[role] for _, columns in held]
        if isinstance(chunks[0], pa.Array):
            found[role] = pa.concat_arrays(chunks).take(pa.array(order))
        else:
            found[role] = pa.array(np.concatenate(chunks)[order])
    return pa.table(found)


def _in_order(blocks: list[Coded]) -> tuple[pa.Array, Int64]:
    """Return users in order, as keys of their numbers or as text, and the order of the rows."""
    if all(pa.types.is_integer(users.names.type) for users in blocks):
        found = text_keys(np.concatenate([users.names.to_numpy()[users.codes] for users in blocks]))
        if found is not None:
            return pa.array(found[0]), found[1]
    numbering = Numbering()
    ids = [numbering.add(users) for users in blocks]
    names = numbering.finish()
    user = np.concatenate(ids)
    order = np.argsort(user)
    return names.take(pa.array(user[order])), order


def _numbers(held: list[tuple[Coded, dict[str, Any]]], seen: _Seen) -> dict[str, list[Int32]]:
    """Return the provisional numbers of groups and sources, -1 for none, by role and block."""
    found: dict[str, list[Int32]] = {}
    for known, roles in ((seen.groups, ("group", "seed_group")), (seen.sources, ("source",))):
        numbering = Numbering()
        ids = {role: [numbering.add(columns[role]) for _, columns in held]
               for role in roles if role in held[0][1]}  # fmt: skip
        number = np.append(_provisional(numbering.finish(), known), np.int32(-1))
        found |= {role: [number[block] for block in blocks] for role, blocks in ids.items()}
    return found


class _Merge:
    """All runs into the columns of a folder."""

    def __init__(self, folder: Path, seen: _Seen) -> None:
        self._folder, self._seen = folder, seen
        self._unit = seen.unit
        self._ranks: dict[str, AnyArray] = {}
        self._columns: dict[str, ColumnWriter] = {}

    def write(self, spill: Spill, inviters: Spill, memory: int) -> Manifest:
        """Write columns and manifest."""
        seen, folder = self._seen, self._folder
        met = pa.array(list(seen.groups), pa.string())
        order = text_order(met)
        rank = np.append(inverse(order), np.int32(-1))
        known = SOURCES if seen.told is None else seen.told.sources
        code, sources = code_sources(seen.sources, known, seen.where)
        self._ranks = {"group": rank, "seed_group": rank, "source": code}
        names = {name: NamesWriter(folder, name) for name in ("users", "groups")}
        writers: list[ColumnWriter | NamesWriter] = list(names.values())
        try:
            names["groups"].append(met.take(pa.array(order)))
            self._writer("offsets").append(np.zeros(1, np.int64))
            for rows in spill.merged(memory=memory):
                self._add(rows.combine_chunks(), names["users"], inviters)
            for writer in [*writers, *self._columns.values()]:
                writer.close()
        finally:
            for writer in [*writers, *self._columns.values()]:
                writer.drop()
        if inviters.schema is not None:
            self._resolve(inviters, memory)
        manifest = Manifest(
            tick=self._unit.tick, origin=self._unit.origin, last=self._unit.since(seen.last),
            users=names["users"].length, groups=names["groups"].length,
            joins=self._columns["group"].length, rows=seen.rows, sources=sources,
            digests={path.name: digest_of(path) for path in sorted(folder.glob("*.npy"))},
        )  # fmt: skip
        write_manifest(folder, manifest)
        return manifest

    def _writer(self, name: str) -> ColumnWriter:
        if name not in self._columns:
            self._columns[name] = ColumnWriter(self._folder, name, DTYPES[name])
        return self._columns[name]

    def _add(self, rows: pa.Table, writer: NamesWriter, inviters: Spill) -> None:
        """Write the joins of some users, and note who invited them."""
        user, users = _numbered(rows["user"])
        columns = {
            role: rows[role].to_numpy() for role in rows.column_names[1:] if role != "inviter"
        }
        is_join = columns["group"] >= 0
        if "inviter" in rows.column_names:
            columns["inviter"], by = _numbered(rows["inviter"])
        there = {role: (user[~is_join], self._unit.since(columns[role][~is_join]))
                 for role in WINDOW if role in columns}  # fmt: skip
        others = columns
        if not is_join.all():
            user = user[is_join]
            others = {role: values[is_join] for role, values in columns.items()}
        for role, rank in self._ranks.items():
            if role in others:
                others[role] = rank[others[role]]
        group, time = others.pop("group"), self._seen.since_origin(others.pop("time"))
        joins = settled(
            user, group, time, others, users=users, unit=self._unit, there=there,
            where=self._seen.where,
        )  # fmt: skip
        self._writer("offsets").append(self._writer("group").length + joins.pop("offsets")[1:])
        if "inviter" in others:
            inviters.add(self._mentions(users, joins["inviter"], by, writer.length))
        for name, values in joins.items():
            self._writer(name).append(values)
        writer.append(users)

    def _mentions(
        self, users: pa.StringArray, inviter: Int32, by: pa.StringArray, first_user: int
    ) -> pa.Table:
        """Return names, sorted, with the id of a user, or else the join that they brought about."""
        rows = np.flatnonzero(inviter >= 0)
        rows = rows[np.argsort(inviter[rows])]
        first = self._writer("group").length
        both = pa.concat_arrays([users, by.take(pa.array(inviter[rows]))])
        ids = np.append(np.arange(len(users)) + first_user, np.full(len(rows), -1))
        joins = np.append(np.full(len(users), -1), rows + first)
        numbering = Numbering()
        rank = numbering.add(coded(both))
        numbering.finish()
        order = np.argsort(rank)
        return pa.table({"user": both, "id": ids, "join": joins}).take(pa.array(order))

    def _resolve(self, inviters: Spill, memory: int) -> None:
        """Write the ids of inviters, whose names have come in another order than the joins."""
        place = self._columns["inviter"].path
        column = np.lib.format.open_memmap(place, "r+")
        for rows in inviters.merged(memory=memory):
            who = _coded(rows["user"])
            ids, joins = rows["id"].to_numpy(), rows["join"].to_numpy()
            id_of = np.full(len(who.names), -1, np.int32)
            id_of[who.codes[ids >= 0]] = ids[ids >= 0]
            column[joins[joins >= 0]] = id_of[who.codes[joins >= 0]]
        column.flush()


def _numbered(column: pa.ChunkedArray) -> tuple[Int32, pa.StringArray]:
    """Return ids of users, text or keys of numbers, -1 for none, and the names, sorted."""
    if column.type == pa.string():
        numbering = Numbering()
        ids = numbering.add(_coded(column))
        return ids, numbering.finish()
    keys, order = sorted_with_order(column.to_numpy())
    first = np.diff(keys, prepend=-1) != 0
    ids = np.empty(len(keys), np.int32)
    ids[order] = np.cumsum(first, dtype=np.int32) - np.int32(1)
    return ids, names_of_keys(keys[first])


def _coded(column: pa.ChunkedArray) -> Coded:
    whole = column.combine_chunks()
    return coded(whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks))
