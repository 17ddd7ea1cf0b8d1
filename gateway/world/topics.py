"""How common the ordinary topics are."""

from __future__ import annotations

import numpy as np

from gateway.config.schema import WorldSection
from gateway.world.model import Float64

__all__ = ["topic_shares"]


def topic_shares(section: WorldSection) -> Float64:
    """Return the share of each ordinary topic, shape (topics - len(kinds),), sum 1.

    Zipf's law: the i-th is i^-topic_skew as common as the first. The same shares are the
    mean of users' interests and the chances of a group's topic: supply follows demand.
    """
    rank = np.arange(1, section.topics - len(section.kinds) + 1, dtype=np.float64)
    weight = rank**-section.topic_skew
    return np.asarray(weight / weight.sum())
