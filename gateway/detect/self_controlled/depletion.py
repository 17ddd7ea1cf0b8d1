"""A group is joined once: who has joined some targets has fewer of them left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.arrays import Float64, Int64, Mask
from gateway.detect.detection import count_by_user
from gateway.detect.significance import beta_prior
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts

# Wishes per outcome group that are looked at; beyond, nearly all of them are joined.
_WISHES = np.concatenate([[0.0], np.geomspace(1e-3, 30.0, 120)])


@dataclass(frozen=True, eq=False)
class Depletion:
    r"""How much less is left of the outcome groups after each event.

    In slot s a user has the odds a w_s r_s of an event, r_s the share of the outcome groups,
    by popularity, that the user has not joined yet. An event takes D of r away, and with it a
    chance of D q_s in each later slot, q_s that of an event with nothing taken. So

        P(events at y | their number) ~ prod_s w_s^y_s / (1 + a w_s r_s)
                                      ~ prod_s (w_s exp(D sum_{s' > s} q_s'))^y_s

    to first order in D q: early events are likelier than w alone says, and an effect of what
    was joined before them would be taken for a smaller one. q_s' is nearly the same in all
    slots of a user, an average q: that of a user with n events in m slots under a beta prior
    of all users, so that one event of somebody who rarely has any is not taken for a rate.

    Wishes fall on group t with its share p_t of all events. After W wishes sum 1 - exp(-p_t W)
    groups are joined and r = sum p_t exp(-p_t W) is left; W belongs to the expected events,
    q = W / m, D = (1 - r) / events.

    *When it misleads.* Users who like different targets run out of theirs sooner.

    Parameters
    ----------
    events, lost
        Expected events of a user, ascending, and D q m there.
    prior
        Of the share of a user's joins that are events: a, b of a beta distribution.
    """

    events: Float64
    lost: Float64
    prior: tuple[float, float]

    def factors(self, offsets: Int64, fresh: Mask, slot: Mask, event: Mask) -> Float64:
        """Return exp(D q x slots in later ticks) of each row, shape (n_rows,).

        Parameters
        ----------
        offsets
            int64, shape (n_cases + 1,): rows of each case.
        fresh, slot, event
            bool, shape (n_rows,): whether the row begins a tick, is a slot, holds an event.
        """
        slots, events = (np.concatenate([[0], np.cumsum(x)]) for x in (slot, event))
        m, n = (x[offsets[1:]] - x[offsets[:-1]] for x in (slots, events))
        a, b = self.prior
        expected = m * (n + a) / (m + a + b)
        each = np.interp(expected, self.events, self.lost) / np.maximum(m, 1)
        over = np.append(np.flatnonzero(fresh), len(fresh))[np.cumsum(fresh)]
        sizes = np.diff(offsets)
        later = np.repeat(slots[offsets[1:]], sizes) - slots[over]
        return np.asarray(np.exp(np.repeat(each, sizes) * later))


def depletion_of(joins: JoinLog, outcome: Mask) -> Depletion:
    """Measure how fast users run out of the outcome groups, and how often they join them."""
    counts = list(over_parts(joins, _counts, outcome))
    n_joins, n_events = (np.concatenate(x) for x in zip(*counts, strict=True))
    share = joins.sizes()[outcome].astype(np.float64)
    share = share[share > 0] / max(share.sum(), 1.0)
    wishes = _WISHES * len(share)
    left = np.exp(-np.multiply.outer(wishes, share))
    events = (1.0 - left).sum(axis=1)
    taken = 1.0 - left @ share
    lost = np.divide(wishes * taken, events, out=np.zeros_like(wishes), where=events > 0)
    return Depletion(events, lost, beta_prior(n_events, n_joins))


def _counts(part: JoinLog, outcome: Mask) -> tuple[Int64, Int64]:
    """Return the joins and the events of each user with a join."""
    n_joins = np.diff(part.offsets)
    some = n_joins > 0
    return n_joins[some], count_by_user(part, outcome)[some]
