"""Measure detectors against the truth."""

from gateway.evaluate.planted import EVALUATION_SCHEMA, evaluate_planted
from gateway.evaluate.ranking import average_precision, precision_at, recall_at, share_at

__all__ = [
    "EVALUATION_SCHEMA",
    "average_precision",
    "evaluate_planted",
    "precision_at",
    "recall_at",
    "share_at",
]
