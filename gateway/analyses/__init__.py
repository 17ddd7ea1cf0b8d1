"""What the note shows, recomputed: tables in, one table out."""

from gateway.analyses.curves import probability_curves
from gateway.analyses.explanation import (
    Explanation,
    RateRatio,
    explain_group,
    explain_top,
    rate_ratio,
)

__all__ = [
    "Explanation",
    "RateRatio",
    "explain_group",
    "explain_top",
    "probability_curves",
    "rate_ratio",
]
