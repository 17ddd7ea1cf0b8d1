"""The conditional likelihood of a self-controlled case series with statsmodels.

Input: a row for each interval of a case: `case`, `events`, `length` and the `exposure` to
each group, shape (rows, groups). Every case has one event, so that the conditional Poisson
and the conditional logistic likelihood are the same function.
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
            ready = model(given["events"], given["exposure"], groups=given["case"], offset=offset)
            return {"beta": ready.fit(maxiter=1_000, skip_hessian=True).params}

        return work

    return prepare


if __name__ == "__main__":
    serve({"poisson": fit_with(ConditionalPoisson), "logit": fit_with(ConditionalLogit)})
