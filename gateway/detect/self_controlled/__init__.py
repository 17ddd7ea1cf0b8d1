"""``self_controlled``: the self-controlled case series over all groups at once."""

from gateway.detect.self_controlled.detector import SELF_CONTROLLED, detect_self_controlled
from gateway.detect.self_controlled.options import SelfControlledOptions

__all__ = ["SELF_CONTROLLED", "SelfControlledOptions", "detect_self_controlled"]
