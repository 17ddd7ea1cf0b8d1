"""What the note shows, recomputed: tables in, one table out."""

from gateway.analyses.curves import probability_curves

__all__ = ["probability_curves"]
