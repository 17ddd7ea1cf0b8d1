"""The rows of a join log, checked block by block as they are read."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Mask
from gateway.errors import LogError, shown
from gateway.log.columns import NAMES, TIMES, Columns, Piece, is_reddit, option_of
from gateway.log.invariants import WINDOW
from gateway.log.messages import Place, complaint
from gateway.log.numbering import Coded, coded
from gateway.log.times import TimeFormat, Times, in_words, parse_times

NEVER = 2**63 - 1
"""When a member left who did not, in ticks since 1970."""

_FLAGS = {"true": True, "t": True, "yes": True, "1": True,
          "false": False, "f": False, "no": False, "0": False}  # fmt: skip
# A file of some kilobytes can hold a name of a gigabyte, which would be copied row by row.
_LONGEST_NAME = 2**16


@dataclass(frozen=True, eq=False)
class Block:
    """Checked rows of one file, at least one: the columns that the log has, by role.

    Times are ticks since 1970-01-01, or 0 for integers; of ``left``, ``NEVER`` for who did not.
    """

    where: object
    times: Mapping[str, Times]
    names: Mapping[str, Coded]
    confirmed: Mask | None

    def __len__(self) -> int:
        return len(self.names["user"].codes)


def iterate_blocks(
    pieces: Sequence[Piece], columns: Columns, where: object, *, size: int | None = None
) -> Generator[Block]:
    """Yield the rows of a log in order, checked; about ``size`` bytes, or a whole file, at a time.

    Raises a LogError for a value that cannot be used: it names the first of the bad rows of a
    file, or of the block that was read. ``where`` is what messages call the log.
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
        way_out = f"it was taken for its name; {option_of(role, '')} leaves it out"
        hint = None if role in named else way_out
        place[role] = Place(piece.where, f"column {shown(name)}", row, is_block, hint)
    found = {role: _flat(batch.column(name), place[role]) for role, name in piece.roles.items()}
    form = columns.time_format
    if form == "auto" and is_reddit(piece.roles):
        form = "epoch_s"
    block = Block(
        piece.where,
        _all_times({role: found[role] for role in TIMES if role in found}, place, form),
        {role: _coded(found[role], place[role], optional=role not in ("user", "group"))
         for role in NAMES if role in found},
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
    if found.names.type == pa.string() and len(found.names):
        longest = pc.max(pc.binary_length(found.names)).as_py() or 0
        if longest > _LONGEST_NAME:
            rule = f"must hold names of at most {_LONGEST_NAME:,} bytes"
            raise place.error(rule, got=f"one of {longest:,}")
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


def _check_filled(missing: Mask, place: Place) -> None:
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


def _missing_in(column: pa.Array) -> Mask:
    empty = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type):
        empty = pc.or_kleene(empty, pc.equal(column, ""))
    missing: Mask = empty.to_numpy(zero_copy_only=False)
    return missing


def _flags(column: pa.Array, place: Place) -> Mask:
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
