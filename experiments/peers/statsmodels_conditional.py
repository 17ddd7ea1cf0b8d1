"""The conditional likelihood of self-controlled rows with statsmodels.

Input: a row for each slot of a case: `case`, `events`, `length` and the `design`, shape (rows,
coefficients). Where every case has one event, the conditional Poisson and the conditional
logistic likelihood are the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, serve
from statsmodels.discrete.conditional_models import ConditionalLogit, ConditionalPoisson


def fit_with(model: type) -> Callable[[Arrays], Callable[[], Mapping[str, Any]]]:
    def prepare(given: Arrays) -> Callable[[], Mapping[str, Any]]:
        offset = np.log(given["length"])

        def work() -> dict[str, Any]:
            ready = model(given["events"], given["design"], groups=given["case"], offset=offset)
            return {"beta": ready.fit(maxiter=1_000, skip_hessian=True).params}

        return work

    return prepare


if __name__ == "__main__":
    serve({"poisson": fit_with(ConditionalPoisson), "logit": fit_with(ConditionalLogit)})
