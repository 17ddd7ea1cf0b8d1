"""``self_controlled``: the self-controlled case series over all groups at once."""

from gateway.config.detectors import SelfControlledOptions
from gateway.detect.self_controlled.detector import SELF_CONTROLLED, detect_self_controlled

__all__ = ["SELF_CONTROLLED", "SelfControlledOptions", "detect_self_controlled"]
