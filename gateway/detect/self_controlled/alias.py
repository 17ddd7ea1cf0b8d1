"""Groups that are joined together: their effects cannot be told apart, and count as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from gateway.arrays import Float64, Int64
from gateway.detect.self_controlled.slots import Slots

BOUND = 0.8
"""Correlation in the information from which on two groups count as one."""
# Columns of the information that are held at once.
_COLUMNS = 1024


def find_aliases(slots: Slots, *, bound: float = BOUND) -> Int64:
    r"""Return for each group the group that stands for its alias set: itself, if it is alone.

    Two groups that a case joins in one tick have the same exposed slots from there on. With
    v_ug = n F (1 - F) the information of case u's join of g where nothing has an effect, n its
    events and F the share of slots after that tick, both outside of it, the correlation of g
    and h in the information is at least

        r_gh = sum over cases that join both in one tick of v_ug / sqrt(sum v_ug  sum v_uh).

    Groups with r_gh >= ``bound`` are in one set, and what is linked through others, too. At
    r = .8 the variance of one effect, the other unknown, is 1 / (1 - r^2) = 2.8 times what it
    would be if the other were known. The group with most information stands for the set, of
    several the first by name.

    *When it misleads.* Groups that are joined one shortly after the other, not in one tick, are
    no set, though their effects are nearly as hard to tell apart.

    Parameters
    ----------
    slots
        The data.
    bound
        In (0, 1].

    Returns
    -------
    numpy.ndarray
        int64, shape (n_groups,).
    """
    of_row, value = _information(slots)
    told = (slots.group < slots.n_groups) & (value > 0)
    total = np.bincount(slots.group[told], value[told], slots.n_groups).astype(np.float64)
    links = _links(slots.group[told], of_row[told], value[told], total, bound)
    n_sets, of_group = connected_components(links, directed=False)
    order = np.lexsort((np.arange(len(total)), -total))
    first = np.full(n_sets, -1)
    first[of_group[order][::-1]] = order[::-1]
    return np.asarray(first[of_group])


def _information(slots: Slots) -> tuple[Int64, Float64]:
    """Return the tick of each row, counted through the log, and v there."""
    of_row = np.cumsum(slots.fresh) - 1
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))

    def by_tick(x: npt.NDArray[Any]) -> tuple[Float64, Float64, Float64]:
        """Sums of each row's tick, of what is later in its case, and of the whole case."""
        ticks = np.bincount(of_row, x, minlength=1).astype(np.float64)
        whole = np.bincount(case, x, minlength=slots.n_cases).astype(np.float64)
        later = np.cumsum(whole)[case] - np.cumsum(ticks)[of_row]
        return ticks[of_row], later, whole[case]

    here, later, whole = by_tick(slots.length)
    tied, _, events = by_tick(slots.events)
    rest = whole - here
    share = np.divide(later, rest, out=np.zeros_like(rest), where=rest > 0)
    return of_row, (events - tied) * share * (1 - share)


def _links(
    group: npt.NDArray[np.int32], tick: Int64, value: Float64, total: Float64, bound: float
) -> csr_array:
    """Return which groups are linked, sparse, shape (n_groups, n_groups)."""
    n = len(total)
    _, tick, count = np.unique(tick, return_inverse=True, return_counts=True)
    shared = count[tick] > 1
    tick, group, value = tick[shared], group[shared], value[shared]
    joined = csr_array((np.sqrt(value), (group, tick)), shape=(n, len(count)))
    pairs = []
    for first in range(0, n, _COLUMNS):
        found = (joined @ joined[first : first + _COLUMNS].T).tocoo()
        g, h = found.coords[0].astype(np.int64), found.coords[1].astype(np.int64) + first
        near = (g < h) & (found.data >= bound * np.sqrt(total[g] * total[h]))
        pairs.append((g[near], h[near]))
    g, h = (np.concatenate(x) for x in zip(*pairs, strict=True))
    return csr_array((np.ones(len(g)), (g, h)), shape=(n, n))


def merge_aliases(slots: Slots, alias: Int64) -> Slots:
    """Let the group that stands for a set be joined where a case first joins one of the set."""
    if np.array_equal(alias, np.arange(slots.n_groups)):
        return slots
    group = np.append(alias, slots.n_groups)[slots.group]
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
    key = case * (slots.n_groups + 1) + group
    _, first = np.unique(key, return_index=True)
    kept = np.full(len(group), slots.n_groups, np.int32)
    kept[first] = group[first]
    return slots.changed(merge_aliases, alias, by_case=False, group=kept)
