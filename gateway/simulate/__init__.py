"""Simulate the platform: joins over three mechanisms, and the strikes that follow."""

from gateway._callable import make_callable
from gateway.simulate.platform import simulate
from gateway.simulate.strikes import Strikes, draw_strikes

__all__ = ["Strikes", "draw_strikes", "simulate"]

make_callable(__name__, simulate)
