"""Measure detectors against the truth.

The package can be called: ``gateway.evaluate(found, truth=["g0000017"])``.
"""

from gateway._callable import make_callable
from gateway.evaluate.calling import evaluate
from gateway.evaluate.prediction import (
    PREDICTION_SCHEMA,
    auc_with_interval,
    predict_later,
    split_by_time,
)
from gateway.evaluate.ranking import (
    EVALUATION_SCHEMA,
    average_precision,
    clear_effects,
    evaluate_effects,
    evaluate_planted,
    evaluation_table,
    precision_at,
    recall_at,
    share_at,
    spearman_among,
)
from gateway.evaluate.replicates import mean_interval, summarise_replicates
from gateway.tabular import table_of

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

make_callable(__name__, evaluate)
