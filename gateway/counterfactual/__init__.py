"""What would have been otherwise: the truth about groups, and arms of interventions."""

from __future__ import annotations

from gateway.counterfactual.arms import live_arms
from gateway.counterfactual.chosen_groups import pin_groups
from gateway.counterfactual.planner import live_plan, plan_edges, plan_groups
from gateway.counterfactual.truth import measure_truth

__all__ = ["live_arms", "live_plan", "measure_truth", "pin_groups", "plan_edges", "plan_groups"]
