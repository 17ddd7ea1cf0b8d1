"""Which groups lead people into a given set of target groups, and how would we know?

The public calls load what they need when they are first used; ``import gateway`` alone
loads neither numpy nor a compiler.

>>> import gateway
>>> config = gateway.load_config("configs/quickstart.toml")        # doctest: +SKIP
>>> world = gateway.draw_world(config)                             # doctest: +SKIP
>>> joins = gateway.simulate(world)                                # doctest: +SKIP
>>> targets = gateway.named_targets(joins, ["g0001", "g0002"])     # doctest: +SKIP
>>> gateway.detect(joins, targets).to_pandas()                     # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.check.calling import check as check
    from gateway.detect.calling import detect as detect
    from gateway.log import read_names as read_names
    from gateway.log.join_log import JoinLog as JoinLog
    from gateway.publish import run as run
    from gateway.results import load_config as load_config
    from gateway.results import open_result as open_result
    from gateway.simulate.platform import simulate as simulate
    from gateway.targets import TargetSet as TargetSet
    from gateway.targets import named_targets as named_targets
    from gateway.world import draw_world as draw_world

__all__ = [
    "JoinLog",
    "TargetSet",
    "__version__",
    "check",
    "detect",
    "draw_world",
    "load_config",
    "named_targets",
    "open_result",
    "read_names",
    "run",
    "simulate",
]

__version__ = "0.1.0"

_HOME = {
    "JoinLog": "gateway.log.join_log",
    "TargetSet": "gateway.targets",
    "draw_world": "gateway.world",
    "load_config": "gateway.results",
    "named_targets": "gateway.targets",
    "open_result": "gateway.results",
    "read_names": "gateway.log",
    "run": "gateway.publish",
}
# Packages that can themselves be called: gateway.check(...), gateway.detect(...).
_CALLABLE = ("check", "detect", "simulate")


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return import_module(f"gateway.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'gateway' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
