"""What a scorer is: something that learns from prefixes and gives logits; the simplest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from gateway.arrays import Float64, Mask
from gateway.score.prefixes import Prefixes, block_before, block_mean


class Logits(NamedTuple):
    """Log-odds for each row, shape (n_rows,) each; rows of users not asked for are zero.

    Parameters
    ----------
    before
        After the user's joins before the row's block.
    after
        After those and the row's own join; other joins of the same tick do not count,
        since nobody knows whether they came before it.
    at_end
        After the whole block.
    """

    before: Float64
    after: Float64
    at_end: Float64


class Model(Protocol):
    """A fitted scorer."""

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the logits of the rows of ``users``, a mask of shape (n_users,)."""
        ...


class Scorer(Protocol):
    """A way to learn P(target within the horizon | joins so far)."""

    @property
    def name(self) -> str:
        """Short name, as it stands in the tables."""
        ...

    def tune(self, prefixes: Prefixes, users: Mask) -> Scorer:
        """Return the scorer with its open settings chosen on ``users`` alone."""
        ...

    def fit(self, prefixes: Prefixes, users: Mask) -> Model:
        """Learn from the training rows of ``users`` alone, a mask of shape (n_users,)."""
        ...


CLIP = 1e-12
"""Probabilities of 0 and 1 have no log-odds: they are moved in by so much."""


def log_odds(p: npt.NDArray[Any]) -> Float64:
    """Return the log-odds of probabilities, those of 0 and 1 as of ``CLIP`` and 1 - ``CLIP``."""
    return np.asarray(logit(np.clip(p, CLIP, 1 - CLIP)))


def base_rate(positive: float, rows: float) -> float:
    """Return the share of rows with outcome 1, half a row added to either side."""
    return (float(positive) + 0.5) / (float(rows) + 1.0)


@dataclass(frozen=True, eq=False)
class MarkovModel:
    """P(target within the horizon | last group joined), shape (n_groups,), and without any."""

    chance: Float64
    base: float

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the log-odds by the last block before a row, by the row, and by its block.

        A block's probability is the mean of its groups': any of them may have come last.
        """
        own = self.chance[prefixes.group]
        at_end = block_mean(prefixes, own)
        before = block_before(prefixes, at_end, none=self.base)
        asked = users[prefixes.user()]
        parts = (np.where(asked, logit(p), 0.0) for p in (before, own, at_end))
        return Logits(*parts)


@dataclass(frozen=True)
class MarkovScorer:
    """First-order Markov scorer: the group joined last says all that is known.

    The probability of a group is the share of training rows in its blocks that are
    followed by a target join within the horizon, each row weighted by 1 / (joins in its
    block), with ``prior`` rows at the base rate added: a small group says little.

    It forgets everything before the last join, so that its jumps come down again at the
    next join, and a spike says which group is near the targets on people's paths, not what
    the user brought along.

    Parameters
    ----------
    prior
        Weight of the base rate, in rows, positive.
    """

    prior: float = 20.0
    name: str = "markov"

    def tune(self, prefixes: Prefixes, users: Mask) -> MarkovScorer:  # noqa: ARG002
        """Return the scorer as it is: it has nothing to tune."""
        return self

    def fit(self, prefixes: Prefixes, users: Mask) -> MarkovModel:
        """Count outcomes by group over the resolved rows of ``users``."""
        rows = prefixes.resolved & users[prefixes.user()]
        weight = 1.0 / prefixes.block_size()[rows]
        group, outcome = prefixes.group[rows], prefixes.label[rows] == 1
        n = np.bincount(group, weights=weight, minlength=prefixes.n_groups)
        k = np.bincount(group, weights=weight * outcome, minlength=prefixes.n_groups)
        base = base_rate(k.sum(), n.sum())
        return MarkovModel((k + self.prior * base) / (n + self.prior), base)
