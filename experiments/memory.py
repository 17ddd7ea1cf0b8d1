"""Resident memory of this process: now, and at its peak since it was last asked to forget.

Linux tells both and can forget (proc(5), clear_refs). Elsewhere the peak is that of the
whole process, and what was there before stands for what is there now.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_mib", "resident_mib", "restart_peak"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


def resident_mib() -> float:
    """Return the resident memory now, in MiB."""
    return _status("VmRSS")


def peak_mib() -> float:
    """Return the largest resident memory since ``restart_peak``, in MiB."""
    return _status("VmHWM")


def restart_peak() -> None:
    """Forget the peak so far, where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text(_FORGET_PEAK)


def _status(name: str) -> float:
    if not _STATUS.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith(name))
    return int(kib) / 2**10
