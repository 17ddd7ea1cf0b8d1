"""Measure detectors against the truth."""

from gateway.evaluate.effects import clear_effects, evaluate_effects
from gateway.evaluate.planted import EVALUATION_SCHEMA, evaluate_planted
from gateway.evaluate.ranking import average_precision, precision_at, recall_at, share_at
from gateway.evaluate.replicates import mean_interval, summarise_replicates

__all__ = [
    "EVALUATION_SCHEMA",
    "average_precision",
    "clear_effects",
    "evaluate_effects",
    "evaluate_planted",
    "mean_interval",
    "precision_at",
    "recall_at",
    "share_at",
    "summarise_replicates",
]
