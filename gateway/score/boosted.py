"""Gradient-boosted trees on running features of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit
from threadpoolctl import threadpool_limits

from gateway.arrays import Float64, Mask
from gateway.score.prefixes import (
    Prefixes,
    Running,
    block_before,
    block_mean,
    running_count,
    running_maximum,
    running_sum,
)
from gateway.score.scorer import Logits, base_rate, log_odds

FEATURES = ("joins", "blocks", "tenure", "gap", "mean", "highest", "last")
# Parts of the training users: the groups' values for one are learnt from the others.
_PARTS = 3
# Makes of the hash of a name another one, unrelated to folds and inner folds.
_SALT = 2.0**24


@dataclass(frozen=True, eq=False)
class BoostedModel:
    """Fitted trees, the value of every group, log-odds, shape (n_groups,), and the base rate."""

    trees: Any
    value: Float64
    base: float

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the log-odds around each row of ``users``; zero for the others.

        Before a row stands what was predicted at the end of the user's block before it.
        """
        asked = users[prefixes.user()]
        features = _features(prefixes, self.value[prefixes.group])
        at_end = self._predict(features.at_end, asked)
        tied = asked & (prefixes.block_size() > 1)
        after = np.where(tied, self._predict(features.after, tied), at_end)
        before = block_before(prefixes, at_end, none=float(logit(self.base)))
        return Logits(np.where(asked, before, 0.0), after, at_end)

    def _predict(self, x: Float64, asked: Mask) -> Float64:
        found = np.zeros(len(x))
        if not asked.any():
            return found
        with threadpool_limits(limits=1, user_api="openmp"):
            p = self.trees.predict_proba(x[asked])[:, 1]
        found[asked] = log_odds(p)
        return found


@dataclass(frozen=True)
class BoostedScorer:
    """scikit-learn's histogram gradient boosting on ``FEATURES``.

    Joins and blocks so far; ticks since the first join and since the last block; and of the
    groups joined so far the mean, the highest and the last value. The value of a group is
    the log-odds of the outcome among its joiners, with ``prior`` joiners at the base rate
    added. A user's own outcome would be in the values of the user's own groups, so the
    training users are cut into three parts, and each is given values learnt from the other
    two (cross-fitted target encoding; Micci-Barreca 2001, SIGKDD Explor. 3(1)).

    Unlike in the bag of groups, the jump of the log-odds at a group differs from user to
    user. Trees are steps: many joins do not move the prediction at all, and spikes are
    few and large. No early stopping, no subsampling: nothing is drawn but the rows that
    the bins are cut from where there are over 200,000 of them, by a fixed seed.

    Cost: O(joins x iterations); about a minute for five folds of a million joins.

    Parameters
    ----------
    iterations
        Number of trees.
    leaves
        Most leaves of a tree.
    learning_rate
        Shrinkage of each tree.
    prior
        Weight of the base rate in a group's value, in joiners, positive.

    References
    ----------
    Friedman (2001), "Greedy function approximation: a gradient boosting machine", Ann.
    Stat. 29(5); Ke et al. (2017), "LightGBM", NeurIPS.
    """

    iterations: int = 100
    leaves: int = 15
    learning_rate: float = 0.1
    prior: float = 20.0
    name: str = "boosted"

    def tune(self, prefixes: Prefixes, users: Mask) -> BoostedScorer:  # noqa: ARG002
        """Return the scorer as it is: its settings are fixed."""
        return self

    def fit(self, prefixes: Prefixes, users: Mask) -> BoostedModel:
        """Fit on the training rows of ``users``."""
        # Late: half a second to load.
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

        values = self._values_out_of_part(prefixes, users)
        rows = prefixes.trains & users[prefixes.user()]
        x = _features(prefixes, values).at_end[rows]
        trees = HistGradientBoostingClassifier(
            max_iter=self.iterations, max_leaf_nodes=self.leaves, early_stopping=False,
            learning_rate=self.learning_rate, random_state=0,
        )  # fmt: skip
        # One thread: sums over rows must not depend on how many there are.
        with threadpool_limits(limits=1, user_api="openmp"):
            trees.fit(x, prefixes.label[rows])
        base = base_rate(int(prefixes.label[rows].sum()), int(np.count_nonzero(rows)))
        return BoostedModel(trees, self._values(prefixes, users), base)

    def _values_out_of_part(self, prefixes: Prefixes, users: Mask) -> Float64:
        """Value of each row's group, learnt from the parts that its user is not in."""
        part = (np.modf(prefixes.chance * _SALT)[0] * _PARTS).astype(np.int8)
        found, row_part = np.zeros(len(prefixes.group)), part[prefixes.user()]
        for k in range(_PARTS):
            mine = row_part == k
            found[mine] = self._values(prefixes, users & (part != k))[prefixes.group[mine]]
        return found

    def _values(self, prefixes: Prefixes, users: Mask) -> Float64:
        rows = prefixes.resolved & users[prefixes.user()]
        group, outcome = prefixes.group[rows], prefixes.label[rows] == 1
        n = np.bincount(group, minlength=prefixes.n_groups)
        k = np.bincount(group, weights=outcome, minlength=prefixes.n_groups)
        base = base_rate(k.sum(), n.sum())
        return np.asarray(logit((k + self.prior * base) / (n + self.prior)))


def _features(prefixes: Prefixes, value: Float64) -> Running:
    """``FEATURES`` after each row and at the end of its block, shape (n_rows, 7) each."""
    count, total = running_count(prefixes), running_sum(prefixes, value)
    highest, last = running_maximum(prefixes, value), block_mean(prefixes, value)
    blocks = prefixes.blocks_before() + 1.0
    time = prefixes.time.astype(np.float64)
    gap = time - block_before(prefixes, time, none=np.nan)
    shared = [blocks, prefixes.tenure().astype(np.float64), gap]
    parts = [
        np.column_stack([n, *shared, s / n, most, newest])
        for n, s, most, newest in zip(count, total, highest, (value, last), strict=True)
    ]
    return Running(*parts)
