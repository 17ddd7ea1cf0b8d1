"""Measure detectors against the truth.

The package can be called: ``gateway.evaluate(found, truth=["g0000017"])``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway._callable import make_callable
from gateway.detect import Detection
from gateway.errors import GatewayError, unknown
from gateway.evaluate.prediction import (
    PREDICTION_SCHEMA,
    auc_with_interval,
    predict_later,
    split_by_time,
)
from gateway.evaluate.ranking import (
    EVALUATION_SCHEMA,
    Measure,
    at_top,
    average_precision,
    by_rank,
    clear_effects,
    evaluate_effects,
    evaluate_planted,
    evaluation_table,
    measured,
    precision_at,
    precision_of,
    recall_at,
    share_among,
    share_at,
    spearman_among,
)
from gateway.evaluate.replicates import mean_interval, summarise_replicates
from gateway.tabular import Rows, table_of

__all__ = [
    "EVALUATION_SCHEMA",
    "PREDICTION_SCHEMA",
    "auc_with_interval",
    "average_precision",
    "clear_effects",
    "evaluate",
    "evaluate_effects",
    "evaluate_planted",
    "evaluation_table",
    "mean_interval",
    "precision_at",
    "predict_later",
    "recall_at",
    "share_at",
    "spearman_among",
    "split_by_time",
    "summarise_replicates",
    "table_of",
]

_TOPS = (10, 50, 100)


def evaluate(found: Detection, truth: Iterable[str], *, seed: int = 1, draws: int = 500) -> Rows:
    """Measure a detection against the groups that are known to be gateways.

    Parameters
    ----------
    found
        What ``gateway.detect`` gave.
    truth
        Names of the gateways; target groups are no candidates and may not be among them.
    seed, draws
        Seed and size of the bootstrap over groups; 0 draws leave the intervals out.

    Returns
    -------
    Rows
        ``metric``, ``value``, ``ci_low`` and ``ci_high``: average precision over all candidates,
        those that are not ranked last; precision and recall at 10, 50 and 100 as far as there
        are so many; ``n_flagged``, ``precision_flagged`` and ``recall_flagged``, in [0, 1], the
        first of them null where nobody is flagged.

    Raises
    ------
    GatewayError
        If no name is given, or one is not that of a candidate.

    Notes
    -----
    The intervals answer for the draw of groups within this log (percentiles of a bootstrap,
    Efron 1979), not for that of logs.

    Examples
    --------
    >>> import gateway
    >>> joins, targets, truth, _ = gateway.example_log()
    >>> found = gateway.detect(joins, targets, detector="order")
    >>> gateway.evaluate(found, truth=truth, draws=0).to_arrow()["metric"][0].as_py()
    'average_precision'
    """
    at = found.candidate
    known = found.groups.filter(pa.array(at))
    names = [truth] if isinstance(truth, str) else list(dict.fromkeys(truth))
    if not names:
        raise GatewayError("truth must name at least one group; got none")
    for name in names:
        if pc.index(known, str(name)).as_py() < 0:
            rule = "must be of candidates: groups of the log that are no targets"
            raise unknown("truth", rule, name, known.to_pylist())
    right = pc.is_in(known, value_set=pa.array(names)).to_numpy(zero_copy_only=False)
    score, _ = by_rank(found, at)
    flagged = found.flagged[at]
    measures: dict[str, Measure] = {"average_precision": precision_of(score, right)}
    for k in _TOPS:
        if k <= len(score):
            measures[f"precision_at_{k}"] = at_top(precision_at, score, right, k)
            measures[f"recall_at_{k}"] = at_top(recall_at, score, right, k)
    measures["n_flagged"] = lambda i: float(np.count_nonzero(flagged[i]))
    measures["precision_flagged"] = lambda i: share_among(right[i], flagged[i])
    measures["recall_flagged"] = lambda i: share_among(flagged[i], right[i])
    table = measured(measures, len(score), (found.detector, "named"), seed, draws)
    return Rows(table.drop_columns(["detector", "truth"]), f"measures of {found.detector}")


make_callable(__name__, evaluate)
