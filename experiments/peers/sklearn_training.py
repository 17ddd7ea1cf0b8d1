"""All-prefix logistic regression with scikit-learn, on a matrix with a row for each prefix.

Input: `offsets` and `group` of the rows by user, `trains`, `label`, `n_groups`, `penalty`.
Nobody has two joins in a tick, so that every row is a prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, serve
from scipy import sparse
from sklearn.linear_model import LogisticRegression

Answer = Callable[[], Mapping[str, Any]]


def expand(given: Arrays, rows: np.ndarray) -> sparse.csr_matrix:
    """A row of ones for every prefix that ends at ``rows``."""
    offsets = given["offsets"]
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    first = offsets[user[rows]]
    length = rows - first + 1
    indptr = np.concatenate([[0], np.cumsum(length)])
    within = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - first, length)
    indices = given["group"][within]
    shape = (len(rows), int(given["n_groups"]))
    return sparse.csr_matrix((np.ones(len(indices)), indices, indptr.astype(np.int32)), shape)


def fit(given: Arrays) -> Answer:
    rows = np.flatnonzero(given["trains"])
    x, y = expand(given, rows), given["label"][rows]

    def work() -> dict[str, Any]:
        model = LogisticRegression(C=1 / float(given["penalty"]), tol=1e-6, max_iter=1_000)
        model.fit(x, y)
        return {"weights": model.coef_[0], "intercept": model.intercept_[0],
                "evaluations": model.n_iter_[0]}  # fmt: skip

    return work


def fit_expanded(given: Arrays) -> Answer:
    """The same, the expansion timed."""

    def work() -> Mapping[str, Any]:
        return fit(given)()

    return work


def score(given: Arrays) -> Answer:
    x = expand(given, np.arange(len(given["group"])))
    model = LogisticRegression()
    model.coef_, model.intercept_ = given["weights"][None, :], np.array([float(given["intercept"])])
    model.classes_ = np.array([0, 1])
    return lambda: {"logit": model.decision_function(x)}


if __name__ == "__main__":
    serve({"fit": fit, "fit with expansion": fit_expanded, "score": score})
