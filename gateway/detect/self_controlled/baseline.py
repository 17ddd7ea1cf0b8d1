"""The calendar baseline: how readily anybody has an event at each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Baseline", "estimate_baseline"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# A piece holds so many events where there are enough of them: a hundred events have a
# relative error of a tenth, which is small beside that of any one group.
EVENTS_PER_PIECE = 100
MOST_PIECES = 40
_ROUNDS = 100
_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class Baseline:
    """A rate that is constant within pieces of calendar time, of total mass one.

    Parameters
    ----------
    edges
        int64, shape (n_pieces + 1,): first tick of each piece, and the first tick after
        the last.
    mass
        float64, shape (n_pieces + 1,): mass of all ticks before each edge; from 0 to 1.
    """

    edges: Int64
    mass: Float64

    def before(self, tick: npt.ArrayLike) -> Float64:
        """Return the mass of all ticks before ``tick``."""
        return np.asarray(np.interp(np.asarray(tick, np.float64), self.edges, self.mass))

    def between(self, first: npt.ArrayLike, last: npt.ArrayLike) -> Float64:
        """Return the mass of the ticks ``first`` to ``last``, both included; 0 if none."""
        mass = self.before(np.asarray(last, np.int64) + 1) - self.before(first)
        return np.asarray(np.maximum(mass, 0.0))


def estimate_baseline(time: Int64, count: Int64, first: Int64, last: Int64) -> Baseline:
    r"""Estimate the baseline of people who are each observed for a window of their own.

    b_k = d_k / sum_u n_u l_uk / B_u, B_u = sum_k b_k l_uk, with d_k events in piece k,
    n_u events of u and l_uk ticks of u's window in it: the maximum of the likelihood
    given each person's number of events, so that neither who is active nor who arrives
    late bends it. With one window for all it is d_k over ticks, in one round.

    Parameters
    ----------
    time
        Ticks of the events, shape (n_events,); without any there is no mass.
    count, first, last
        Number of events and first and last observed tick of each person, shape (n,).

    References
    ----------
    Turnbull (1976), "The empirical distribution function with arbitrarily grouped,
    censored and truncated data", J. R. Stat. Soc. B 38(3), for windows.
    """
    if len(time) == 0:
        return Baseline(np.array([0, 1], np.int64), np.zeros(2))
    edges = _edges(time, int(first.min()), int(last.max()) + 1)
    events = np.histogram(time, edges)[0].astype(np.float64)
    windows, weight = _windows(first, last + 1, count)
    width = np.diff(edges).astype(np.float64)
    ends = _place(windows[:, 1], edges), _place(windows[:, 0], edges)
    rate = np.ones(len(width))
    for _ in range(_ROUNDS):
        old, mass = rate, np.concatenate([[0.0], np.cumsum(rate * width)])
        until, since = (mass[piece] + np.append(rate, 0.0)[piece] * ticks for piece, ticks in ends)
        exposure = _exposure(ends[0], weight / (until - since), width)
        exposure -= _exposure(ends[1], weight / (until - since), width)
        rate = events / np.maximum(exposure, 1e-300)
        rate /= rate @ width
        if np.max(np.abs(rate - old)) <= _CLOSE * rate.max():
            break
    return Baseline(edges, np.concatenate([[0.0], np.cumsum(rate * np.diff(edges))]))


def _place(tick: Int64, edges: Int64) -> tuple[Int64, Int64]:
    """Return the piece of each tick, the last edge's being one beyond, and its ticks there."""
    piece = np.searchsorted(edges, tick, side="right") - 1
    return piece, tick - edges[piece]


def _exposure(place: tuple[Int64, Int64], weight: Float64, width: Float64) -> Float64:
    """Return the weighted ticks of each piece before these places, shape (n_pieces,)."""
    piece, ticks = place
    within = np.bincount(piece, weight * ticks, minlength=len(width) + 1)[:-1]
    beyond = np.cumsum(np.bincount(piece, weight, minlength=len(width) + 1)[::-1])[::-1]
    return np.asarray(width * beyond[1:] + within)


def _windows(begin: Int64, end: Int64, count: Int64) -> tuple[Int64, Float64]:
    """Return the distinct windows in ascending order, and the events of the people in each."""
    least = int(begin.min())
    width = int(end.max()) - least + 1
    windows, which = np.unique((begin - least) * width + (end - least), return_inverse=True)
    weight = np.bincount(which, weights=count).astype(np.float64)
    pairs: Int64 = np.stack([windows // width, windows % width], axis=1) + least
    return pairs, weight


def _edges(time: Int64, begin: int, end: int) -> Int64:
    """Cut the calendar at quantiles of the events; at least one event in each piece."""
    pieces = int(np.clip(len(time) // EVENTS_PER_PIECE, 1, MOST_PIECES))
    inner = np.quantile(time, np.arange(1, pieces) / pieces, method="lower").astype(np.int64)
    inner = np.unique(inner[(inner > begin) & (inner < end)])
    return np.concatenate([[begin], inner, [end]]).astype(np.int64)
