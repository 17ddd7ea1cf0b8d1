"""What ends a sweep before its time, with nothing lost that was finished."""

from __future__ import annotations

__all__ = ["ChildDeathError", "SweepStoppedError"]


class SweepStoppedError(Exception):
    """The machine, not a point, is in trouble: nothing more could be computed or stored."""


class ChildDeathError(Exception):
    """A worker ended without an answer: killed, out of memory, or a crash in native code."""
