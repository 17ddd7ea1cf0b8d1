"""Lists of the nearest groups: implicit's item-item cosines, and LightFM's embeddings.

Input: `log_offsets`, `log_group` of the joins by user, `n_groups`, `n_nearest`. Answer:
`group`, shape (groups, nearest), nearest first, -1 where there are fewer, and `cosine`. LightFM
learns 32 numbers a group in ten rounds and lists by the cosine of those: another method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, serve
from scipy import sparse

Answer = Callable[[], Mapping[str, Any]]
COMPONENTS, ROUNDS, BLOCK = 32, 10, 1_000


def matrix_of(given: Arrays, kind: type) -> sparse.csr_matrix:
    offsets, group = given["log_offsets"].astype(np.int32), given["log_group"]
    shape = (len(offsets) - 1, int(given["n_groups"]))
    return sparse.csr_matrix((np.ones(len(group), kind), group, offsets), shape)


def by_cosine(given: Arrays) -> Answer:
    from implicit.nearest_neighbours import CosineRecommender

    joined, width = matrix_of(given, np.float64), int(given["n_nearest"])

    def work() -> dict[str, Any]:
        # A group is nearest to itself, and leaves its own list.
        model = CosineRecommender(K=width + 1)
        model.fit(joined, show_progress=False)
        return listed(model.similarity, width)

    return work


def listed(similarity: sparse.csr_matrix, width: int) -> dict[str, np.ndarray]:
    n = similarity.shape[0]
    row = np.repeat(np.arange(n), np.diff(similarity.indptr))
    keep = row != similarity.indices
    row, column, value = row[keep], similarity.indices[keep], similarity.data[keep]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    inside = place < width
    group, cosine = np.full((n, width), -1, np.int32), np.zeros((n, width))
    group[row[inside], place[inside]] = column[inside]
    cosine[row[inside], place[inside]] = value[inside]
    return {"group": group, "cosine": cosine}


def by_warp(given: Arrays) -> Answer:
    from lightfm import LightFM

    joined, width = matrix_of(given, np.float32).tocoo(), int(given["n_nearest"])

    def work() -> dict[str, Any]:
        model = LightFM(no_components=COMPONENTS, loss="warp", random_state=1)
        model.fit(joined, epochs=ROUNDS, num_threads=2)
        at = model.item_embeddings
        at = at / np.maximum(np.linalg.norm(at, axis=1, keepdims=True), 1e-12)
        groups, cosines = [], []
        for first in range(0, len(at), BLOCK):
            near = at[first : first + BLOCK] @ at.T
            near[np.arange(len(near)), np.arange(first, first + len(near))] = -np.inf
            group = np.argpartition(-near, width, axis=1)[:, :width]
            cosine = np.take_along_axis(near, group, axis=1)
            order = np.argsort(-cosine, axis=1)
            groups.append(np.take_along_axis(group, order, axis=1))
            cosines.append(np.take_along_axis(cosine, order, axis=1))
        return {"group": np.concatenate(groups), "cosine": np.concatenate(cosines), "another": True}

    return work


if __name__ == "__main__":
    serve({"cosine": by_cosine, "warp": by_warp})
