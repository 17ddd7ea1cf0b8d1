"""The columns of a join log, whatever it is stored in: found, checked, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Bool
from gateway.errors import LogError
from gateway.log.csv_files import csv_batches, read_header
from gateway.log.files import format_of, parquet_parts
from gateway.log.frames import as_table
from gateway.log.messages import Place, complaint, listed, nearest, shown
from gateway.log.numbering import Coded, coded
from gateway.log.parquet_files import parquet_batches, parquet_schema
from gateway.log.ticks import in_words
from gateway.log.times import TimeFormat, Times, parse_times

__all__ = ["NEVER", "WINDOW", "Block", "Columns", "Piece", "iterate_blocks", "pieces_of",
           "pieces_of_frame"]  # fmt: skip

WINDOW = ("observed_from", "observed_until")
NEVER = 2**63 - 1
"""When a member left who did not."""

_NAMES = ("user", "group", "source", "inviter", "seed_group")
_TIMES = ("time", "left", *WINDOW)
_OPTIONS = {role: role.removeprefix("observed_").removesuffix("_group") for role in
            (*_NAMES, *_TIMES, "confirmed")} | {"group": "group"}  # fmt: skip
_FLAGS = {"true": True, "t": True, "yes": True, "1": True,
          "false": False, "f": False, "no": False, "0": False}  # fmt: skip
# Rows of a Parquet file are taken to be of so many bytes, until they are read.
_BYTES_PER_ROW = 64
_FEWEST_ROWS = 256


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a log.

    Of the optional ones None stands for a column of our own name, where there is one, and
    an empty text for none.

    Raises
    ------
    LogError
        If there is no such form of times.
    """

    user: str = "user"
    group: str = "group"
    time: str = "time"
    source: str | None = None
    confirmed: str | None = None
    inviter: str | None = None
    seed_group: str | None = None
    left: str | None = None
    observed_from: str | None = None
    observed_until: str | None = None
    time_format: TimeFormat = "auto"

    def __post_init__(self) -> None:
        if self.time_format not in get_args(TimeFormat):
            rule = f"must be one of {', '.join(get_args(TimeFormat))}"
            raise LogError(f"time_format {rule}; got {shown(self.time_format)}")

    @property
    def named(self) -> dict[str, str]:
        """The name of the column of each role for which one was named."""
        pairs = {role.name: getattr(self, role.name) for role in fields(self)[:-1]}
        return {role: name for role, name in pairs.items() if name}

    def among(self, present: Sequence[str], where: object) -> dict[str, str]:
        """Return the name of the column of each role that has one.

        Parameters
        ----------
        present
            Names of the columns there are.
        where
            What the log is called in messages.

        Raises
        ------
        LogError
            If a column is missing, is there twice, or was named for two roles.
        """
        found = self.named
        shared = _repeated(found.values())
        if shared:
            *others, last = found
            rule = f"must not be named for more than one of {', '.join(others)} and {last}"
            raise complaint(where, f"column {shown(shared[0])}", rule)
        for role, name in found.items():
            if name not in present:
                raise _missing(role, name, present, found, where)
        taken = set(found.values())
        for each in fields(self)[:-1]:
            if getattr(self, each.name) is None and each.name in set(present) - taken:
                found[each.name] = each.name
        doubled = [name for name in _repeated(present) if name in found.values()]
        if doubled:
            raise complaint(where, f"column {shown(doubled[0])}", "must be there once", got="twice")
        return found


@dataclass(frozen=True, eq=False)
class Block:
    """Checked rows of one file, at least one.

    Parameters
    ----------
    where
        The file.
    times
        ``time``; and of ``left`` (``NEVER`` for who did not), ``observed_from`` and
        ``observed_until`` what the log has; ticks since 1970-01-01, or 0 for integers.
    names
        ``user`` and ``group``; and of ``source``, ``inviter`` and ``seed_group`` what the
        log has.
    confirmed
        Or None.
    """

    where: object
    times: Mapping[str, Times]
    names: Mapping[str, Coded]
    confirmed: Bool | None

    def __len__(self) -> int:
        return len(self.names["user"].codes)


@dataclass(frozen=True, eq=False)
class Piece:
    """A file of a log, or a frame.

    Parameters
    ----------
    where
        What it is called in messages.
    roles
        Name of the column of each role.
    batches
        Reads its columns: all at once, or about so many bytes at a time.
    metadata
        What else is noted in it.
    """

    where: object
    roles: Mapping[str, str]
    batches: Callable[[int | None], Generator[pa.RecordBatch]]
    metadata: Mapping[bytes, bytes]


def pieces_of(path: Path, columns: Columns) -> list[Piece]:
    """Return the files of a log at a path, by their headers.

    Raises
    ------
    LogError
        If a file is missing, empty, damaged or of another format, or lacks a column.
    """
    kind = format_of(path)
    if kind != "parquet":
        roles = columns.among(read_header(path, kind=kind), path)
        return [_csv_piece(path, kind, roles)]
    pieces = [_parquet_piece(part, columns) for part in parquet_parts(path)]
    for piece in pieces:
        if set(piece.roles) != set(pieces[0].roles):
            rule = f"must be those of {pieces[0].where}, {listed(sorted(pieces[0].roles.values()))}"
            got = listed(sorted(piece.roles.values()))
            raise complaint(piece.where, "the columns of the log", rule, got=got)
    return pieces


def pieces_of_frame(frame: Any, columns: Columns, where: object) -> list[Piece]:
    """Return a data frame as the one piece of a log; otherwise as ``pieces_of``."""
    table = as_table(frame, wanted=lambda names: columns.among(names, where).values(), where=where)
    roles = columns.among(table.column_names, where)
    chosen = table.select(list(roles.values()))

    def batches(_: int | None) -> Generator[pa.RecordBatch]:
        yield from chosen.to_batches()

    return [Piece(where, roles, batches, table.schema.metadata or {})]


def _csv_piece(path: Path, kind: Any, roles: Mapping[str, str]) -> Piece:
    names = [roles[role] for role in _NAMES if role in roles]

    def batches(size: int | None) -> Generator[pa.RecordBatch]:
        return csv_batches(
            path, list(roles.values()), kind=kind, by_dictionary=names, block=size
        )  # fmt: skip

    return Piece(path, roles, batches, {})


def _parquet_piece(path: Path, columns: Columns) -> Piece:
    schema = parquet_schema(path)
    roles = columns.among(schema.names, path)
    # The columns of a struct or list have other names in the file.
    flat = [name for name in roles.values() if not pa.types.is_nested(schema.field(name).type)]

    def batches(size: int | None) -> Generator[pa.RecordBatch]:
        rows = None if size is None else max(size // _BYTES_PER_ROW, _FEWEST_ROWS)
        return parquet_batches(
            path, list(roles.values()), by_dictionary=flat, rows=rows, is_bounded=size is not None
        )

    return Piece(path, roles, batches, schema.metadata or {})


def iterate_blocks(
    pieces: Sequence[Piece], columns: Columns, where: object, *, size: int | None = None
) -> Generator[Block]:
    """Yield the rows of a log in order, checked.

    Parameters
    ----------
    pieces
        Its files.
    columns
        What was asked for.
    where
        What the log is called in messages.
    size
        Bytes to read at a time, about; None where a file fits into memory.

    Raises
    ------
    LogError
        If a value cannot be used: the message names the first of the bad rows of a file, or
        of the block that was read.
    """
    first: Block | None = None
    for piece in pieces:
        row = 0
        with closing(piece.batches(size)) as batches:
            for batch in batches:
                if not len(batch):
                    continue
                try:
                    block = _checked(batch, piece, columns, row, is_block=True)
                    first = first or block
                    _check_kind(block, first, row)
                except LogError:
                    if size is None:
                        _complain_of_all(piece, columns)
                    raise
                yield block
                row += len(batch)
    if first is None:
        raise complaint(where, "the log", "must hold at least one join; it holds no rows")


def _complain_of_all(piece: Piece, columns: Columns) -> None:
    """Check a file as one block: its message can say in how many rows something is wrong."""
    table = pa.Table.from_batches(list(piece.batches(None)))
    for batch in table.combine_chunks().to_batches():
        _checked(batch, piece, columns, 0, is_block=False)


def _check_kind(block: Block, first: Block, row: int) -> None:
    times, others = block.times["time"], first.times["time"]
    if times.kind != others.kind:
        where = f"{block.where}, from data row {row + 1:,} on" if row else block.where
        rule = f"must be of the same kind as in {first.where}, {others.phrase}"
        raise complaint(where, "the time", rule, got=times.phrase)


def _checked(
    batch: pa.RecordBatch, piece: Piece, columns: Columns, row: int, *, is_block: bool
) -> Block:
    named = columns.named
    place = {}
    for role, name in piece.roles.items():
        option = f"--{_OPTIONS[role]}-column ''"
        hint = None if role in named else f"it was taken for its name; {option} leaves it out"
        place[role] = Place(piece.where, f"column {shown(name)}", row, is_block, hint)
    found = {role: _flat(batch.column(name), place[role]) for role, name in piece.roles.items()}
    form = columns.time_format
    block = Block(
        piece.where,
        _all_times({role: found[role] for role in _TIMES if role in found}, place, form),
        {role: _coded(found[role], place[role], optional=role not in ("user", "group"))
         for role in _NAMES if role in found},
        _flags(found["confirmed"], place["confirmed"]) if "confirmed" in found else None,
    )  # fmt: skip
    _check_order(block, place)
    return block


def _flat(column: pa.Array, place: Place) -> pa.Array:
    """Return the column if each of its values is one thing."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        hint = "a log has one user, one group and one time a row"
        got = f"values of type {column.type}"
        raise place.error("must hold plain values", got=got, hint=hint)
    return column


def _coded(column: pa.Array, place: Place, *, optional: bool) -> Coded:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if optional and (pa.types.is_floating(kind) or pa.types.is_null(kind)):
        column, kind = _from_floats(column), pa.int64()
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise place.error("must hold text or integers", got=f"values of type {kind}")
    if not pa.types.is_dictionary(column.type) and _is_text(kind) and kind != pa.string():
        column = _text(column, place)
    try:
        found = coded(column)
    except pa.ArrowInvalid as error:
        raise _undecodable(column, place) from error
    if not optional:
        _check_filled(found.codes < 0, place)
    return found


def _from_floats(column: pa.Array) -> pa.Array:
    """Return whole numbers that a data frame made floating because some are missing."""
    numbers = pc.if_else(pc.is_null(column, nan_is_null=True), None, column)
    whole = pa.types.is_null(column.type) or pc.all(pc.equal(pc.floor(numbers), numbers)).as_py()
    return numbers.cast(pa.int64()) if whole in (True, None) else column


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
    ))  # fmt: skip


def _text(column: pa.Array, place: Place) -> pa.StringArray:
    """Return any kind of text as valid ``string``."""
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _undecodable(column, place) from error
    return text


def _undecodable(column: pa.Array, place: Place) -> LogError:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    bad = np.array([_is_broken(value) for value in column.cast(pa.binary()).to_pylist()], np.bool_)
    value = column.cast(pa.binary())[int(np.argmax(bad))].as_py()
    return place.error("must be UTF-8 text", got=place.row(shown(value), bad & (bad.cumsum() == 1)))


def _is_broken(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _check_filled(missing: Bool, place: Place) -> None:
    if missing.any():
        raise place.error("must not be empty", got=place.row("nothing", missing))


def _all_times(
    columns: Mapping[str, pa.Array], place: Mapping[str, Place], form: TimeFormat
) -> dict[str, Times]:
    found: dict[str, Times] = {}
    for role, given in columns.items():
        column = _decoded(given, place[role])
        missing = _missing_in(column)
        if role != "left":
            _check_filled(missing, place[role])
        elif missing.all():
            found[role] = Times(np.full(len(column), NEVER), found["time"].kind)
            continue
        elif missing.any():
            # Filled with one that is there, so that every row keeps its number.
            column = pc.if_else(pa.array(missing), column[int(np.argmin(missing))], column)
        found[role] = parse_times(column, place[role], form=form)
        if missing.any():
            ticks = np.where(missing, NEVER, found[role].ticks)
            found[role] = Times(ticks, found[role].kind)
    return found


def _decoded(column: pa.Array, place: Place) -> pa.Array:
    """Return the column without dictionary, and any kind of text as valid ``string``."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return _text(column, place) if _is_text(column.type) else column


def _missing_in(column: pa.Array) -> Bool:
    empty = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type):
        empty = pc.or_kleene(empty, pc.equal(column, ""))
    missing: Bool = empty.to_numpy(zero_copy_only=False)
    return missing


def _flags(column: pa.Array, place: Place) -> Bool:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = _from_floats(column)
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)
            or _is_text(column.type)):  # fmt: skip
        raise place.error("must hold true or false", got=f"values of type {column.type}")
    found = coded(column.cast(pa.string()))
    _check_filled(found.codes < 0, place)
    known = [_FLAGS.get(name.lower()) for name in found.names.to_pylist()]
    bad = np.array([flag is None for flag in known], np.bool_)[found.codes]
    if bad.any():
        value = found.names[int(found.codes[np.argmax(bad)])].as_py()
        raise place.error("must hold true or false", got=place.row(shown(value), bad))
    return np.array(known, np.bool_)[found.codes]


def _check_order(block: Block, place: Mapping[str, Place]) -> None:
    """Check that members left after they joined, and joined while they were observed."""
    times = block.times["time"]
    for role in ("left", *WINDOW):
        told = block.times.get(role)
        if told is None:
            continue
        what = place[role].what
        if told.kind != times.kind:
            rule = f"must be of the same kind as {place['time'].what}, {times.phrase}"
            raise place[role].error(rule, got=told.phrase)
        if role == "left":
            wrong, side = told.ticks <= times.ticks, "must be before"
        elif role == WINDOW[0]:
            wrong, side = told.ticks > times.ticks, "must not be before"
        else:
            wrong, side = times.ticks > told.ticks, "must not be after"
        if wrong.any():
            row = int(np.argmax(wrong))
            who, which = (_name(block.names[name], row) for name in ("user", "group"))
            when, limit = in_words([int(t.ticks[row]) for t in (times, told)], times.tick)
            raise complaint(
                block.where, f"the join of {which} by user {who}", f"{side} {what}, {limit}",
                got=place["time"].row(when, wrong), hint=place[role].hint,
            )  # fmt: skip


def _name(column: Coded, row: int) -> str:
    return shown(str(column.names[int(column.codes[row])].as_py()))


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _missing(
    role: str, name: str, present: Sequence[str], roles: Mapping[str, str], where: object
) -> LogError:
    """Return the error for a column that is not there: what is, and what may be meant."""
    free = [column for column in present if column not in roles.values()]
    meant = nearest(name, free, cutoff=0.4) or (free[0] if len(free) == 1 else None)
    option = f"--{_OPTIONS[role]}-column"
    hint = f"say which one with {option}"
    if len(present) == 1 and any(mark in present[0] for mark in ";\t|"):
        hint = "cells must be separated by commas"
    elif meant:
        hint = f"did you mean {shown(meant)}? say so with {option}"
    rule = f"is missing; the columns are {listed(present)}"
    return complaint(where, f"column {shown(name)}", rule, hint=hint)
