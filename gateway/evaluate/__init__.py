"""Measure detectors against the truth."""

from gateway.evaluate.effects import clear_effects, evaluate_effects
from gateway.evaluate.planted import EVALUATION_SCHEMA, evaluate_planted, evaluation_table
from gateway.evaluate.prediction import PREDICTION_SCHEMA, predict_later, split_by_time
from gateway.evaluate.ranking import average_precision, precision_at, recall_at, share_at
from gateway.evaluate.replicates import mean_interval, summarise_replicates
from gateway.evaluate.roc import auc_with_interval

__all__ = [
    "EVALUATION_SCHEMA",
    "PREDICTION_SCHEMA",
    "auc_with_interval",
    "average_precision",
    "clear_effects",
    "evaluate_effects",
    "evaluate_planted",
    "evaluation_table",
    "mean_interval",
    "precision_at",
    "predict_later",
    "recall_at",
    "share_at",
    "split_by_time",
    "summarise_replicates",
]
