"""Which groups lead people into a given set of target groups, and how would we know?

>>> import gateway
>>> joins, targets, truth, look_alikes = gateway.example_log()
>>> found = gateway.detect(joins, targets, detector="self_controlled")   # doctest: +SKIP
>>> found.summary()                                                      # doctest: +SKIP
>>> found.plot()                                                         # doctest: +SKIP
>>> gateway.evaluate(found, truth=truth)                                 # doctest: +SKIP

The public calls load what they need when they are first used; ``import gateway`` alone
loads neither numpy nor a compiler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.check.calling import check as check
    from gateway.detect.detection import Detection as Detection
    from gateway.detect.registry import detect as detect
    from gateway.errors import AssumptionWarning as AssumptionWarning
    from gateway.errors import GatewayError as GatewayError
    from gateway.evaluate import evaluate as evaluate
    from gateway.example import example_log as example_log
    from gateway.log import read_names as read_names
    from gateway.log.join_log import JoinLog as JoinLog
    from gateway.publish import run as run
    from gateway.results import load_config as load_config
    from gateway.results import open_result as open_result
    from gateway.results import open_sweep as open_sweep
    from gateway.score.crossfit import score_joins as score
    from gateway.simulate.platform import simulate as simulate
    from gateway.targets import TargetSet as TargetSet
    from gateway.targets import named_targets as named_targets
    from gateway.world import draw_world as draw_world

__all__ = [
    "AssumptionWarning",
    "Detection",
    "GatewayError",
    "JoinLog",
    "TargetSet",
    "__version__",
    "check",
    "detect",
    "draw_world",
    "evaluate",
    "example_log",
    "load_config",
    "named_targets",
    "open_result",
    "open_sweep",
    "read_names",
    "run",
    "score",
    "simulate",
]

__version__ = "0.1.0"

_HOME = {
    "AssumptionWarning": "gateway.errors",
    "Detection": "gateway.detect.detection",
    "GatewayError": "gateway.errors",
    "JoinLog": "gateway.log.join_log",
    "TargetSet": "gateway.targets",
    "draw_world": "gateway.world",
    "example_log": "gateway.example",
    "load_config": "gateway.results",
    "named_targets": "gateway.targets",
    "open_result": "gateway.results",
    "open_sweep": "gateway.results",
    "read_names": "gateway.log",
    "run": "gateway.publish",
}
# Packages that can themselves be called: gateway.check(...), gateway.detect(...).
_CALLABLE = ("check", "detect", "evaluate", "score", "simulate")


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return import_module(f"gateway.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    from difflib import get_close_matches  # noqa: PLC0415  (only where it is needed)

    near = get_close_matches(name, __all__, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"module 'gateway' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
