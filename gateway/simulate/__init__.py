"""Simulate the platform: joins over ten sources, and the truth by replay.

The package can be called: ``gateway.simulate(world)``.
"""

from gateway._callable import make_callable
from gateway.simulate.moderation import Strikes
from gateway.simulate.paired import (
    Comparison,
    TotalEffects,
    compare_runs,
    joins_by_user,
    measure_total_effects,
    paired_total,
)
from gateway.simulate.platform import History, live_through, simulate
from gateway.simulate.policies import (
    Demotion,
    EdgeFilter,
    GysjSeedFilter,
    Intervention,
    InviteCap,
    InviteFriction,
)
from gateway.simulate.replay import DirectEffects, Leads, measure_direct_effects, measure_leads

__all__ = [
    "Comparison",
    "Demotion",
    "DirectEffects",
    "EdgeFilter",
    "GysjSeedFilter",
    "History",
    "Intervention",
    "InviteCap",
    "InviteFriction",
    "Leads",
    "Strikes",
    "TotalEffects",
    "compare_runs",
    "joins_by_user",
    "live_through",
    "measure_direct_effects",
    "measure_leads",
    "measure_total_effects",
    "paired_total",
    "simulate",
]

make_callable(__name__, simulate)
