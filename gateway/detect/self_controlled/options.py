"""What the options of the self-controlled detector come to on one log."""

from __future__ import annotations

from gateway.config.detectors import SelfControlledOptions
from gateway.detect.self_controlled.slots import RiskWindow
from gateway.errors import GatewayError, Problem
from gateway.log import Tick, ticks_in

__all__ = ["SelfControlledOptions", "window_in"]


def window_in(options: SelfControlledOptions, tick: Tick) -> RiskWindow | None:
    """Return how long an exposure lasts on a log with such ticks; None where the data say.

    Raises
    ------
    GatewayError
        If it is no duration of such a log, or in joins on the calendar.
    """
    name, wanted = "self_controlled.risk_window", options.risk_window
    if wanted == "auto":
        return None
    if isinstance(wanted, str) and "join" in wanted:
        if options.clock == "calendar":
            rule = 'must be a time where clock is "calendar"'
            raise GatewayError(str(Problem(name, rule, repr(wanted))))
        return RiskWindow(joins=int(wanted.split()[0]))
    return RiskWindow(ticks_in(wanted or 0, tick, what=name, least=0))
