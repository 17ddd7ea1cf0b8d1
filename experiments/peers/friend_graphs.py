"""A simple random graph with given expected degrees: networkx, igraph, SciPy.

Input: `weight`, the expected degrees. Answer: `degree` of every user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, serve

Answer = Callable[[], Mapping[str, Any]]


def by_networkx(given: Arrays) -> Answer:
    import networkx as nx

    weight = given["weight"].tolist()

    def work() -> dict[str, Any]:
        graph = nx.expected_degree_graph(weight, seed=1, selfloops=False)
        return {"degree": np.array([d for _, d in graph.degree()])}

    return work


def by_igraph(given: Arrays) -> Answer:
    import igraph

    weight = given["weight"].tolist()

    def work() -> dict[str, Any]:
        graph = igraph.Graph.Chung_Lu(weight, loops=False, variant="original")
        return {"degree": np.array(graph.degree())}

    return work


def by_scipy(given: Arrays) -> Answer:
    """Pairs drawn by weight, repeats dropped by the sparse matrix, until there are enough."""
    from scipy import sparse

    weight = given["weight"]
    users, wanted = len(weight), round(weight.sum() / 2)
    total = np.cumsum(weight)

    def work() -> dict[str, Any]:
        rng = np.random.default_rng(1)
        graph = sparse.csr_array((users, users), dtype=bool)
        while (missing := wanted - graph.nnz // 2) > 0:
            ends = np.searchsorted(total, rng.random((2, missing)) * total[-1])
            low, high = ends[:, ends[0] != ends[1]]
            pairs = sparse.coo_array((np.ones(len(low), bool), (low, high)), (users, users))
            graph = sparse.csr_array(graph + pairs + pairs.T)
        return {"degree": np.diff(graph.indptr)}

    return work


if __name__ == "__main__":
    serve({"networkx": by_networkx, "igraph": by_igraph, "scipy": by_scipy})
