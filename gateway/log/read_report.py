"""What was done to the data of a log, and what in it looks odd.

Everything is counted on the joins that were kept and on the distinct names: the order of
the rows has no say in it, and it takes a small part of the time that reading takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Ints
from gateway.errors import shown
from gateway.log.times import DAY, Tick, in_words, time_format_like
from gateway.tabular import schema_of

if TYPE_CHECKING:
    from gateway.log.join_log import JoinLog

_BATCH = 1 << 20
# What programs write where there is no name; compared without case and outer spaces.
_NO_NAMES = ("na", "n/a", "#n/a", "nan", "null", "nil", "none", "undefined", "unknown", "-1", "-",
             "?", "missing", "anonymous", "deleted", "[deleted]")  # fmt: skip
# A user or a time is far from the others beyond so many times their 99 % quantile, or a gap
# longer than all the rest of the log.
_FAR = 10
_FEW = 1_000
# Shares of joins on the first day of a year and of a month, .003 and .03 if days are alike, from
# which on dates without a day are supposed; nearly all of a log that has no other.
_MIXED_YEARS, _MIXED_MONTHS, _NEARLY_ALL, _FEWEST_MIXED = 0.1, 0.25, 0.99, 20
_SCHEMA = schema_of("what string, count int64, text string")


@dataclass(frozen=True)
class Remark:
    """Something about a log that its owner should know."""

    what: str  # its kind, the same for every log
    count: int  # of the rows, users, groups or joins that it is about
    # One sentence; it may hold names from the log, as literals. None for a mere count, which
    # nobody need be told.
    text: str | None = None


@dataclass(frozen=True)
class ReadReport:
    """What was done to the data of a log."""

    rows: int  # that were read
    joins: int  # that were kept: each user and group once, at the earliest time
    users: int
    groups: int
    remarks: tuple[Remark, ...] = ()  # what looks odd, in a fixed order

    @property
    def repeats(self) -> int:
        """Rows that were dropped, as they repeat a user and group at the same or a later time."""
        return self.rows - self.joins

    def with_remarks(self, *more: Remark) -> ReadReport:
        """Return the report with more remarks, such as what is known with the targets."""
        return replace(self, remarks=(*self.remarks, *more))

    def lines(self) -> list[str]:
        """Return what is noteworthy, one sentence a line; nothing for a log without oddities."""
        said = [remark.text for remark in self.remarks if remark.text is not None]
        if self.repeats:
            kept = f"{self.rows:,} rows, {self.joins:,} joins: {self.repeats:,} rows repeat a user"
            said.insert(0, f"{kept} and group, of which the earliest counts")
        return said

    def to_arrow(self) -> pa.Table:
        """Return ``what``, ``count``, ``text`` (null for a mere count), one fact a row."""
        counts = ("rows", "joins", "repeats", "users", "groups")
        facts = [Remark(name, getattr(self, name)) for name in counts] + list(self.remarks)
        return pa.Table.from_pylist([vars(fact) for fact in facts], _SCHEMA)


def read_report(joins: JoinLog) -> ReadReport:
    """Return the report on a log."""
    counts = np.diff(joins.offsets)
    remarks = [
        *_odd_names("group", joins.groups, joins.sizes()),
        *_odd_names("user", joins.users, counts),
        *_very_active(joins.users, counts),
        *_only_mentioned(joins, counts),
    ]
    if joins.n_joins:
        remarks += _odd_times(joins.time, joins.origin, joins.tick)
    rows = joins.n_joins if joins.rows_read is None else joins.rows_read
    return ReadReport(rows, joins.n_joins, joins.n_users, joins.n_groups, tuple(remarks))


def _only_mentioned(joins: JoinLog, counts: Ints) -> Iterator[Remark]:
    """Users and groups of the log that no join is of: inviters, and seeds of recommendations."""
    for what, column, joined in (
        ("inviters_without_joins", joins.inviter, counts),
        ("seed_groups_without_members", joins.seed_group, joins.sizes()),
    ):
        if column is not None:
            mentioned = np.zeros(len(joined) + 1, np.bool_)
            # In batches: numpy makes an array of 64 bits of what it indexes by.
            for first in range(0, len(column), _BATCH):
                mentioned[column[first : first + _BATCH]] = True
            n = int(np.count_nonzero(mentioned[:-1] & (joined == 0)))
            if n:
                words = what.replace("_", " ")
                yield Remark(what, n, f"{n:,} {words} are in the log: they count as its own")


def _odd_names(what: str, names: pa.StringArray, counts: Ints) -> Iterator[Remark]:
    stand_ins: list[int] = []
    folded: list[pa.Array] = []
    changed: list[pa.Array] = []
    for first in range(0, len(names), _BATCH):
        some = names.slice(first, _BATCH)
        keys = pc.utf8_lower(pc.utf8_trim_whitespace(some))
        hits = pc.is_in(keys, value_set=pa.array(_NO_NAMES))
        if pc.any(hits).as_py():
            stand_ins += (np.flatnonzero(hits.to_numpy(zero_copy_only=False)) + first).tolist()
        differs = pc.not_equal(keys, some)
        if pc.any(differs).as_py():
            folded.append(keys.filter(differs))
            changed.append(some.filter(differs))
    for k in stand_ins:
        if counts[k] > counts.mean():
            said = f"the {what} {shown(names[k].as_py())} has {counts[k]:,} joins, "
            mean = f"{counts.mean():.3g} on average: does its name stand for a missing one?"
            yield Remark(f"{what}_name_for_none", int(counts[k]), said + mean)
    if changed:
        yield from _alike(what, names, pa.concat_arrays(changed), pa.concat_arrays(folded))


def _alike(
    what: str, names: pa.StringArray, changed: pa.StringArray, folded: pa.StringArray
) -> Iterator[Remark]:
    """Names that are equal without case and outer spaces; ``changed`` are those that have any."""
    keys = pc.value_counts(folded)
    key, times = keys.field("values"), keys.field("counts")
    plain = pc.is_in(key, value_set=names)
    several = pc.or_(plain, pc.greater(times, 1))
    shared = key.filter(several)
    if not len(shared):
        return
    count = pc.sum(times.filter(several)).as_py() + pc.sum(plain.cast(pa.int64())).as_py()
    first = pc.min(shared)
    like_it = changed.filter(pc.equal(folded, first)).to_pylist()
    if pc.index(names, first).as_py() >= 0:
        like_it.append(first.as_py())
    pair = " and ".join(shown(name) for name in sorted(like_it)[:2])
    text = f"{count:,} {what} names differ from another by case or spaces alone, such as {pair}"
    yield Remark(f"{what}_names_alike", count, text)


def _very_active(users: pa.StringArray, counts: Ints) -> Iterator[Remark]:
    most = len(counts) - 1
    usual = int(np.partition(counts, int(0.99 * most))[int(0.99 * most)])
    far = np.flatnonzero(counts > max(_FAR * usual, _FAR))
    if not len(far):
        return
    top = far[np.argmax(counts[far])]
    who = f"{len(far):,} user{'s have' if len(far) > 1 else ' has'}"
    text = (
        f"{who} more than {_FAR} times the joins that 99 % of the users have at most ({usual:,}): "
        f"{shown(users[top].as_py())} has {counts[top]:,}"
    )
    yield Remark("very_active_users", len(far), text)


def _odd_times(time: Ints, origin: int, tick: Tick) -> Iterator[Remark]:
    low, high = _ends(time)
    span = int(high[0]) - int(low[-1])
    early, late = _beyond_a_gap(low, span), _beyond_a_gap(-high[::-1], span)
    for which, count, end in (("early", early, low[0]), ("late", late, high[-1])):
        if count:
            ends = [int(end), int(low[early]), int(high[len(high) - 1 - late])]
            at, first, last = in_words([end + origin for end in ends], tick)
            joins = "1 join lies" if count == 1 else f"{count:,} joins lie"
            text = f"{joins} far from the rest of the log ({first} to {last}): {at}"
            yield Remark(f"lone_{which}_times", count, text)
    if tick != "integer":
        yield from _mixed_dates(time, origin, tick, int(low[0]), int(high[-1]))
    else:
        least, most = int(low[early]) + origin, int(high[len(high) - 1 - late]) + origin
        yield from _dates_as_numbers(time, origin, least, most)


def _mixed_dates(time: Ints, origin: int, tick: Tick, first: int, last: int) -> Iterator[Remark]:
    """Dates that tell the year or the month alone, beside exact ones."""
    per_day = DAY if tick == "second" else 1
    begin = (first + origin) // per_day
    count = np.zeros((last + origin) // per_day - begin + 1, np.int64)
    for k in range(0, len(time), _BATCH):
        day = (time[k : k + _BATCH].astype(np.int64) + origin) // per_day - begin
        count += np.bincount(day, minlength=len(count))
    some = np.flatnonzero(count)
    days = (some + begin).astype("datetime64[D]")
    for unit, name, least in (("Y", "year", _MIXED_YEARS), ("M", "month", _MIXED_MONTHS)):
        n = int(count[some[days == days.astype(f"datetime64[{unit}]")]].sum())
        if n >= _FEWEST_MIXED and least < n / len(time) < _NEARLY_ALL:
            text = (
                f"{n:,} of {len(time):,} joins are dated on the first day of a {name}: if such "
                f"dates tell the {name} alone, beside exact ones, these joins seem to come before "
                f"all others of the {name}, and what follows them is no finding"
            )
            yield Remark(f"mixed_dates_{name}", n, text)
            return


def _ends(time: Ints) -> tuple[Ints, Ints]:
    """Return the least and the largest times, each sorted: a thousandth of all, or fewer."""
    few = min(max(len(time) // 1_000, 1), _FEW) + 1
    few = min(few, len(time))
    low, high = time[:0], time[:0]
    for k in range(0, len(time), _BATCH):
        some = time[k : k + _BATCH]
        n = min(few, len(some))
        low = np.concatenate([low, np.partition(some, n - 1)[:n]])
        high = np.concatenate([high, np.partition(some, len(some) - n)[len(some) - n :]])
    return np.sort(low)[:few].astype(np.int64), np.sort(high)[len(high) - few :].astype(np.int64)


def _beyond_a_gap(ends: Ints, span: int) -> int:
    """Return how many of the sorted times stand before a gap longer than the rest of the log."""
    gaps = np.flatnonzero(np.diff(ends) > span) if span > 0 else np.empty(0, np.int64)
    return int(gaps[-1]) + 1 if len(gaps) else 0


def _dates_as_numbers(time: Ints, origin: int, first: int, last: int) -> Iterator[Remark]:
    forms = {"yyyymmdd": "dates written YYYYMMDD", "epoch_s": "seconds since 1970",
             "epoch_ms": "milliseconds since 1970"}  # fmt: skip
    form = time_format_like(first, last)
    if form == "yyyymmdd" and not _are_dates(time, origin):
        form = None
    if form is not None:
        text = (
            f"the times, {first} to {last}, look like {forms[form]} and were read as whole "
            f'numbers; time_format = "{form}" (--time-format {form}) reads them as such'
        )
        yield Remark(f"times_like_{form}", len(time), text)


def _are_dates(time: Ints, origin: int) -> bool:
    """Return whether nearly all numbers have a month and a day."""
    good = 0
    for k in range(0, len(time), _BATCH):
        number = time[k : k + _BATCH].astype(np.int64) + origin
        month, day = number // 100 % 100, number % 100
        good += int(np.count_nonzero((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)))
    return good >= 0.99 * len(time)
