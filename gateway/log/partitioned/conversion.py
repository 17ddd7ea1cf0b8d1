"""Any log into a folder of columns, in bounded memory: an external merge sort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gateway.errors import LogError
from gateway.log.columns import Part
from gateway.log.ids import dense_ids
from gateway.log.invariants import DTYPES
from gateway.log.manifest import Manifest, read_manifest, write_manifest
from gateway.log.messages import complaint
from gateway.log.partitioned.blocks import iterate_blocks
from gateway.log.partitioned.folder import ColumnWriter, NamesWriter
from gateway.log.partitioned.sizes import frugal_arrow, give_back
from gateway.log.partitioned.spill import Spill, schema_with
from gateway.log.partitioned.told import Told, iterate_told, told_by
from gateway.log.paths import file_digest
from gateway.log.rows import canonical_joins, narrow
from gateway.log.span import check_span
from gateway.log.ticks import Tick
from gateway.log.times import TimeFormat, are_midnights, time_column
from gateway.log.windows import roles_of, window_of_users

__all__ = ["convert_log"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_LEAST_MEMORY = 2**26
# Of it the libraries' own buffers take so much whatever the work (docs/logs.md: measured).
_RESERVE = 2**25
# Shares of the memory: what is read at once, sorted at once, and merged at once.
_BLOCK, _RUN, _MERGE = 256, 12, 12
_LARGEST_BLOCK, _LARGEST_RUN = 2**21, 2**28


def convert_log(  # noqa: PLR0913  (one argument for each column of the log)
    path: str | Path,
    folder: str | Path,
    *,
    memory: int,
    user: str = "user",
    group: str = "group",
    time: str = "time",
    observed_from: str | None = None,
    observed_until: str | None = None,
    time_format: TimeFormat = "auto",
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
        An empty folder, to be renamed by the caller when all is well. A scratch file of
        about the size of the log unpacked lies in it for the time being.
    memory
        Bytes that the work may take beside the program itself; the names of the groups,
        some 200 bytes each, come on top.
    user, group, time, observed_from, observed_until, time_format
        Names of the columns and form of whole numbers, as ``JoinLog.read`` takes them.

    Returns
    -------
    Manifest
        As written into the folder.

    Raises
    ------
    LogError
        If the log cannot be used (file, column, row and rule), or the memory is too little.
    """
    path, folder = Path(path), Path(folder)
    if memory < _LEAST_MEMORY:
        rule = f"must be at least {_LEAST_MEMORY / 2**20:,.0f} MiB"
        raise LogError(f"the memory {rule}; got {memory / 2**20:,.1f} MiB")
    if read_manifest(path) is not None:
        raise complaint(path, "the log", "must be one to convert; it is converted already")
    roles = roles_of(user, group, time_column(time, time_format), observed_from, observed_until)
    plain = roles == roles_of("user", "group", "time", None, None) and time_format == "auto"
    told = told_by(path) if plain else None
    scratch = folder / ".spill"
    try:
        seen = _Seen(path, told, tuple(roles)[3:] if told is None else tuple(told.idle_windows))
        with frugal_arrow(), Spill(scratch, schema=schema_with(seen.windows)) as spill:
            for run in _runs(path, roles, memory, seen):
                spill.add(run)
                give_back()
            return _write(folder, spill, seen, memory)
    except OSError as error:
        got = error.strerror or str(error)
        raise complaint(folder, "the folder", "cannot be written", got=got) from error
    finally:
        scratch.unlink(missing_ok=True)


class _SortedJoins(NamedTuple):
    """Joins of some users in canonical order.

    ``users`` are their names, ``counts`` the joins of each, ``group`` and ``time`` those of
    the joins, ``windows`` what is told of each user's observation, in ticks since the log's
    origin.
    """

    users: pa.StringArray
    counts: Int64
    group: Int32
    time: Int32
    windows: Mapping[str, Int64]


@dataclass
class _Seen:
    """What is known of the log as a whole while it is read."""

    path: Path
    told: Told | None = None
    windows: Sequence[str] = ()
    groups: dict[str, int] = field(default_factory=dict)
    tick: Tick = "integer"
    first: int = 2**63 - 1
    last: int = -(2**63)
    rows: int = 0
    midnights: bool = True

    @property
    def origin(self) -> int:
        """Tick zero: what the log says, or its first tick."""
        return self.first if self.told is None else self.told.origin

    @property
    def per_tick(self) -> int:
        """Ticks of what was read in one of the log's: timestamps that are midnights are days."""
        return 86_400 if self.told is None and self.tick == "second" and self.midnights else 1

    def number(self, part: Part) -> tuple[Int32, Int64]:
        """Return provisional ids of the groups, and the ticks, of a block."""
        assert part.times is not None  # noqa: S101  (iterate_blocks leaves out empty ones)
        ticks: Int64 = part.times.ticks.to_numpy()
        self.tick = part.times.tick
        self.first = min(self.first, int(ticks.min()))
        self.last = max(self.last, int(ticks.max()))
        self.rows += len(ticks)
        self.midnights = self.midnights and are_midnights(ticks)
        check_span(self.path, self.first, self.last, tick=self.tick)
        encoded = part.group.dictionary_encode().combine_chunks()
        names = encoded.dictionary.to_pylist()
        ids = [self.groups.setdefault(name, len(self.groups)) for name in names]
        return np.array(ids, np.int32)[encoded.indices.to_numpy()], ticks


def _runs(path: Path, roles: Mapping[str, str], memory: int, seen: _Seen) -> Iterator[pa.Table]:
    """Yield sorted runs, each of a twelfth of the free memory."""
    free = memory - _RESERVE
    block, most = min(free // _BLOCK, _LARGEST_BLOCK), min(free // _RUN, _LARGEST_RUN)
    held: list[pa.Table] = []
    size = 0
    for rows in _blocks(path, roles, block, seen):
        held.append(rows)
        size += held[-1].nbytes
        if size >= most:
            yield _sorted_run(pa.concat_tables(held), seen)
            held, size = [], 0
    if held:
        yield _sorted_run(pa.concat_tables(held), seen)


def _blocks(path: Path, roles: Mapping[str, str], block: int, seen: _Seen) -> Iterator[pa.Table]:
    """Yield the rows of a log as those of a spill."""
    if seen.told is None:
        for part in iterate_blocks(path, roles=roles, block=block):
            windows = [told.ticks for told in part.windows.values()]
            seen.midnights = seen.midnights and all(
                are_midnights(ticks.to_numpy()) for ticks in windows
            )
            yield pa.table(
                [part.user, *seen.number(part), *windows], schema=schema_with(seen.windows)
            )
        return
    for part, told in iterate_told(seen.told, block=block):
        yield pa.table([part.user, *seen.number(part), *told], schema=schema_with(seen.windows))
    if not seen.rows:
        raise complaint(path, "the log", "must hold at least one join; it holds no rows")
    for name in seen.told.idle_groups.to_pylist():
        seen.groups.setdefault(name, len(seen.groups))
    if len(seen.told.idle_users):
        yield seen.told.idle_rows()


def _sorted_run(rows: pa.Table, seen: _Seen) -> pa.Table:
    origin = int(rows["tick"].to_numpy().min())
    joins = _sorted_joins(rows, origin, seen, rank=None)
    # A user without a join keeps a row, of no group.
    rows_of = np.maximum(joins.counts, 1)
    user = np.repeat(np.arange(len(joins.users), dtype=np.int32), rows_of)
    holds = np.repeat(joins.counts > 0, rows_of)
    group, tick = np.full(len(user), -1, np.int32), np.full(len(user), origin)
    group[holds], tick[holds] = joins.group, joins.time.astype(np.int64) + origin
    windows = [ticks[user] + origin for ticks in joins.windows.values()]
    columns = [joins.users.take(pa.array(user)), group, tick, *windows]
    return pa.table(columns, schema=rows.schema)


def _sorted_joins(
    rows: pa.Table, origin: int, seen: _Seen, *, rank: Int32 | None, per_tick: int = 1
) -> _SortedJoins:
    """Return rows in canonical order, each membership once; ``rank`` renumbers the groups.

    ``per_tick`` of the rows' ticks are one of the joins'.
    """
    users = dense_ids(rows["user"])
    windows = {
        name: window_of_users(
            (rows[name].to_numpy() - origin) // per_tick, users,
            role=name, where=seen.path, tick=seen.tick,
            origin=origin,
        )
        for name in seen.windows
    }  # fmt: skip
    group = rows["group"].to_numpy()
    holds = np.flatnonzero(group >= 0)
    group = group[holds] if rank is None else rank[group[holds]]
    since = ((rows["tick"].to_numpy()[holds] - origin) // per_tick).astype(np.int32)
    user, group, time = canonical_joins(users.ids[holds], group, since)
    counts = np.bincount(user, minlength=len(users.names)).astype(np.int64)
    return _SortedJoins(users.names, counts, group, time, windows)


def _write(folder: Path, spill: Spill, seen: _Seen, memory: int) -> Manifest:
    groups = dense_ids(pa.array(list(seen.groups), pa.string()), what="group")
    size = seen.per_tick
    tick: Tick
    tick, origin = ("day", seen.origin // size) if size > 1 else (seen.tick, seen.origin)
    columns = {
        name: ColumnWriter(folder, name, DTYPES[name])
        for name in ("offsets", "group", "time", *seen.windows)
    }
    names = {name: NamesWriter(folder, name) for name in ("users", "groups")}
    names["groups"].append(groups.names)
    columns["offsets"].append(np.zeros(1, np.int64))
    for rows in spill.merged(memory=(memory - _RESERVE) // _MERGE):
        joins = _sorted_joins(rows, seen.origin, seen, rank=groups.ids, per_tick=size)
        columns["offsets"].append(columns["group"].length + np.cumsum(joins.counts))
        columns["group"].append(joins.group)
        columns["time"].append(joins.time)
        for name, ticks in joins.windows.items():
            columns[name].append(narrow(ticks, name))
        names["users"].append(joins.users)
    for column in columns.values():
        column.close()
    for texts in names.values():
        texts.close()
    manifest = Manifest(
        tick=tick, origin=origin, last=seen.last // size - origin,
        users=names["users"].length, groups=names["groups"].length,
        joins=columns["group"].length, rows=seen.rows,
        digests={path.name: file_digest(path) for path in sorted(folder.glob("*.npy"))},
    )  # fmt: skip
    write_manifest(folder, manifest)
    return manifest
