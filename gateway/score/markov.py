"""A scorer that knows the last join alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from gateway.arrays import Float64, Mask
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits
from gateway.score.states import block_before, block_mean


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
        base = (float(k.sum()) + 0.5) / (float(n.sum()) + 1.0)
        return MarkovModel((k + self.prior * base) / (n + self.prior), base)
