"""What the options of the self-controlled detector come to on one log."""

from __future__ import annotations

from gateway.config.detectors import SelfControlledOptions
from gateway.log import Tick, ticks_in

__all__ = ["SelfControlledOptions", "windows_in"]


def windows_in(options: SelfControlledOptions, tick: Tick) -> tuple[int, int]:
    """Return ``risk_window`` and ``pre_window`` in ticks of a log.

    Raises
    ------
    LogError
        If one of them is no duration of such a log.
    """
    risk, before = (
        ticks_in(getattr(options, name), tick, what=f"self_controlled.{name}", least=0)
        for name in ("risk_window", "pre_window")
    )
    return risk, before
