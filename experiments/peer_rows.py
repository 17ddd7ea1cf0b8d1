"""Works on rows that peers get ready-made: conditional likelihoods, lists of groups, conversion.

The designs of the likelihoods are written out here as dense matrices, a row for each slot,
as every peer wants them; ours gets the slots that they were written from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.synthetic import draw_log, log_of, targets_of
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.slots import Slots, build_slots, select_cases

__all__ = ["Answer", "Arrays", "conditional_input", "conditional_size", "convert_input",
           "convert_size", "lists_input", "operational_input", "same_beta", "same_lists",
           "same_log", "slots_of"]  # fmt: skip

Arrays = dict[str, npt.NDArray[Any]]
Answer = Mapping[str, npt.NDArray[Any]]

CASE_COLUMNS = ("offsets", "group", "fresh", "stratum", "length", "events", "until", "user")
NUMBERS = ("n_groups", "n_positions", "n_pieces", "exact")
# Groups with a coefficient; bins of the position or the calendar with fewer events have none.
GROUPS, FEWEST_EVENTS = 20, 50


def conditional_input(scale: float) -> Arrays:
    """The calendar's clock, cases of one event: conditional Poisson and logit are then one."""
    log, targets, columns = _log_and_columns(int(20_000 * scale), every=None)
    candidate = np.isin(np.arange(log.n_groups), columns)
    slots = build_slots(log, targets, candidate, clock="calendar")
    return _given(select_cases(slots, slots.counts() == 1), columns)


def operational_input(scale: float) -> Arrays:
    """The clock of joins, any number of events a case, effects of position and calendar."""
    # Fewer users: the exact likelihood takes others their time.
    log, targets, columns = _log_and_columns(int(4_000 * scale), every=50)
    candidate = np.isin(np.arange(log.n_groups), columns)
    return _given(build_slots(log, targets, candidate), columns)


def _log_and_columns(users: int, every: int | None) -> tuple[Any, Any, Any]:
    offsets, group, time = draw_log(users, 500, users * 10)
    log = log_of(offsets, group, time, groups=500)
    targets = targets_of(500).mask if every is None else np.arange(500) % every == 0
    return log, targets, np.argsort(-log.sizes() * ~targets)[:GROUPS]


def _given(slots: Slots, columns: npt.NDArray[np.int64]) -> Arrays:
    """The slots, and the same as rows with a design; ``parameters``: its columns' places."""
    rows, case = _rows(slots)
    events = slots.events[rows].astype(np.float64)
    place, piece = np.divmod(slots.stratum[rows].astype(np.int64), slots.n_pieces)
    design, parameters = [_exposure(slots, columns)[rows]], [columns]
    first = slots.n_groups
    for bin_, n in ((place, slots.n_positions), (piece, slots.n_pieces)):
        kept = np.flatnonzero(np.bincount(bin_, events, n) >= FEWEST_EVENTS)[1:]
        if slots.exact:
            design.append((bin_[:, None] == kept).astype(np.float64))
            parameters.append(first + kept)
        first += n
    given: Arrays = {f"case_{name}": getattr(slots, name) for name in CASE_COLUMNS}
    given |= {name: np.array(getattr(slots, name)) for name in NUMBERS}
    return given | {
        "case": case, "length": slots.length[rows], "events": events,
        "design": np.hstack(design), "parameters": np.concatenate(parameters),
    }  # fmt: skip


def _rows(slots: Slots) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which slots have a length, and the case of each."""
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
    rows = np.flatnonzero(slots.length > 0)
    return rows, case[rows]


def _exposure(slots: Slots, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Whether the case had joined each group in an earlier tick, shape (n_slots, n_columns)."""
    n = len(slots.group)
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
    column = np.full(slots.n_groups + 1, len(columns))
    column[columns] = np.arange(len(columns))
    joined = np.zeros((n + 1, len(columns) + 1))
    joined[np.arange(1, n + 1), column[slots.group]] = 1.0
    upto = np.cumsum(joined, axis=0)[:, :-1]
    tick = np.maximum.accumulate(np.where(slots.fresh, np.arange(n), 0))
    return np.asarray(upto[tick] - upto[slots.offsets[case]])


def slots_of(given: Arrays) -> Slots:
    """Return the slots of an input."""
    columns = {name: given[f"case_{name}"] for name in CASE_COLUMNS}
    return Slots(**columns, **{name: given[name].item() for name in NUMBERS})


def conditional_size(given: Arrays) -> str:
    """Cases, rows, events and coefficients in words."""
    rows, terms = given["design"].shape
    cases, events = len(np.unique(given["case"])), int(given["events"].sum())
    return f"{cases:,} cases, {rows:,} rows, {events:,} events, {terms} coefficients"


def same_beta(given: Arrays, ours: Answer, theirs: Answer) -> str:
    """The minimum is one: whose gradient is smaller there is nearer to it."""
    slots = slots_of(given)
    likelihood, steep = Likelihood(slots), []
    for answer in (ours, theirs):
        x = Point.zero(slots).vector()
        x[given["parameters"]] = answer["beta"]
        gradient = likelihood.loss(Point.of(x, slots))[1][given["parameters"]]
        steep.append(float(np.abs(gradient).max()))
    largest = np.abs(ours["beta"] - theirs["beta"]).max()
    return (f"coefficients: largest difference {largest:.1e}; gradient left: {steep[0]:.0e}, "
            f"theirs {steep[1]:.0e}")  # fmt: skip


def lists_input(scale: float) -> Arrays:
    """Who joined what, as rows of a sparse matrix; lists of twenty."""
    joins, groups = int(3_000_000 * scale), 10_000
    offsets, group, time = draw_log(joins // 10, groups, joins)
    return {"log_offsets": offsets, "log_group": group, "log_time": time,
            "n_groups": np.array(groups), "n_nearest": np.array(20)}  # fmt: skip


def same_lists(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    """How many groups two lists share, and how far the cosines at a place differ.

    Among equal cosines either may choose: what stands at a place is then another group.
    """
    pairs = zip(ours["group"], theirs["group"], strict=True)
    shared = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in pairs)
    share = shared / int((ours["group"] >= 0).sum())
    if "another" in theirs:
        return f"another method: lists share {share:.1%}"
    largest = float(np.abs(ours["cosine"] - theirs["cosine"]).max())
    return (
        f"cosine at each place: largest difference {largest:.1e}; lists share {share:.1%}, by ties"
    )


def convert_input(scale: float) -> Arrays:
    """A platform's log in the order of time: whole numbers and days."""
    joins = int(10_000_000 * scale)
    offsets, group, time = draw_log(joins // 10, 5_000, joins)
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.argsort(time.astype(np.int16), kind="stable")
    return {"user": user[order], "group": group[order], "time": time[order]}


def convert_size(given: Arrays) -> str:
    """Joins, users and groups in words."""
    users, groups = (len(np.unique(given[name])) for name in ("user", "group"))
    return f"{len(given['user']):,} joins, {users:,} users, {groups:,} groups"


def same_log(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    """Two stored logs hold the same joins in the same order if their digests are equal."""
    same = all(np.array_equal(ours[n], theirs[n]) for n in ("joins", "digest"))
    return "joins and their order equal" if same else "JOINS DIFFER"
