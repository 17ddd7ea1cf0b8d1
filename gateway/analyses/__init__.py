"""What the note shows, recomputed: tables in, one table out."""

from gateway.analyses.curves import probability_curves
from gateway.analyses.event_study import event_study

__all__ = ["event_study", "probability_curves"]
