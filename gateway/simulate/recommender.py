"""The recommender of the platform: groups that share members with a current group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.simulate.platform_kernels import State
from gateway.simulate.recommender_kernels import nearest_groups

__all__ = ["Recommender", "fit_recommender", "no_recommender"]

# Work is cut into a fixed number of chunks, whatever the number of threads.
CHUNKS = 64


class Recommender(NamedTuple):
    """Nearest groups of each group.

    Parameters
    ----------
    neighbour
        int32, shape (n_groups, n_nearest): nearest first, -1 where there are fewer.
    weight
        float64, shape (n_groups, n_nearest): cumulative cosines; the last is the total.
    """

    neighbour: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float64]


def no_recommender(n_groups: int, n_nearest: int) -> Recommender:
    """Return a recommender that knows nothing: the platform before its first refit."""
    return Recommender(
        np.full((n_groups, n_nearest), -1, np.int32), np.zeros((n_groups, n_nearest))
    )


def fit_recommender(state: State, n_groups: int, n_nearest: int) -> Recommender:
    """Fit item-item co-membership (cosine) on the memberships as they stand.

    Sarwar et al. (2001), "Item-based collaborative filtering recommendation algorithms",
    WWW'01. Costs the sum over users of their squared number of groups.
    """
    offsets, member = _members(state, n_groups)
    fitted = no_recommender(n_groups, n_nearest)
    nearest_groups(
        state.start, state.joined, state.group, offsets, member, CHUNKS,
        fitted.neighbour, fitted.weight,
    )  # fmt: skip
    return fitted


def _members(state: State, n_groups: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Turn user -> groups into group -> members, both in compressed rows."""
    cell = np.arange(len(state.group))
    owner = np.repeat(np.arange(len(state.joined), dtype=np.int32), np.diff(state.start))
    taken = cell - state.start[owner] < state.joined[owner]
    group, user = state.group[taken], owner[taken]
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=n_groups)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return offsets, user[order]
