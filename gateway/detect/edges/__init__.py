"""Which groups the platform's own traces say joins of targets came through."""

from gateway.config.detectors import EdgesOptions
from gateway.detect.edges.detector import EDGES, detect_edges, traces_of

__all__ = ["EDGES", "EdgesOptions", "detect_edges", "traces_of"]
