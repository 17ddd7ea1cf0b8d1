"""Everything that one set of events says of every group, before anything is called."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from gateway.arrays import Float64, Int64, Mask
from gateway.config.detectors import SelfControlledOptions
from gateway.detect.detection import add_up
from gateway.detect.self_controlled.alias import find_aliases, merge_aliases
from gateway.detect.self_controlled.before import NearEffects, near_effects
from gateway.detect.self_controlled.effects import OwnEffects, own_effects
from gateway.detect.self_controlled.fit import JointFit, fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.prior import fit_prior
from gateway.detect.self_controlled.rows import RiskWindow
from gateway.detect.self_controlled.sensitivity import Check, check_assumptions
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts

_Found = TypeVar("_Found", OwnEffects, NearEffects)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the joint fit says; arrays of shape (n_groups,), alike within an alias set.

    Parameters
    ----------
    beta, information, penalty
        Posterior mode of each log ratio, what the cases say of it, and the precision of
        its prior in the joint fit.
    own, near
        Each group's own evidence, and that of the slots around the join.
    alias
        Group that stands for the alias set of each; itself, if it is alone.
    checks
        Of the assumptions; none on the calendar.
    second_kind
        Share of the cases that are of the second of two kinds, with a calendar of its own; 0
        where there is one.
    event_share
        Share of the cases' slots that hold an event.
    """

    beta: Float64
    information: Float64
    penalty: Float64
    own: OwnEffects
    near: NearEffects
    alias: Int64
    checks: tuple[Check, ...]
    second_kind: float
    event_share: float

    @property
    def mode_error(self) -> Float64:
        """Standard error of ``beta``: Laplace's approximation with a diagonal Hessian."""
        known = np.where(self.own.informative, self.information + self.penalty, np.nan)
        return 1.0 / np.sqrt(known)

    def posterior(self, association: Float64, among: Mask) -> tuple[Float64, Float64]:
        """Return posterior mean and deviation with association as a prior.

        A Newton step from the mode undoes the joint fit's own prior: there the data pull
        with penalty x beta. The prior is fitted to the groups ``among``, one of each alias
        set; the weights of a set's members add up, as its members join all of them.

        Parameters
        ----------
        association
            Shape (n_groups,); 0 where it is not known.
        among
            bool, shape (n_groups,): who is ranked.
        """
        n = len(self.beta)
        of_set = np.bincount(self.alias, np.nan_to_num(association), minlength=n)
        together = of_set.astype(np.float64)[self.alias]
        known = among & self.own.informative & (self.information > 0)
        h = np.where(known, self.information, 1.0)
        estimate = np.where(known, self.beta * (1.0 + self.penalty / h), 0.0)
        error = np.where(known, np.sqrt(self.own.dispersion / h), np.inf)
        fitted = known & (self.alias == np.arange(n))
        prior = fit_prior(estimate[fitted], error[fitted], together[fitted])
        return prior.posterior(estimate, error, together)

    def replaced(self, other: Evidence, where: Mask) -> Evidence:
        """Return this with the groups of a mask taken from ``other``."""

        def mixed(mine: Any, theirs: Any) -> dict[str, Any]:
            arrays = (f.name for f in fields(mine) if isinstance(getattr(mine, f.name), np.ndarray))
            return {
                name: np.where(where, getattr(theirs, name), getattr(mine, name))
                for name in arrays
            }  # fmt: skip

        own, near = mixed(self.own, other.own), mixed(self.near, other.near)
        return replace(
            self, **mixed(self, other), own=OwnEffects(**own), near=NearEffects(**near)
        )  # fmt: skip


def gather_evidence(
    joins: JoinLog,
    outcome: Mask,
    *,
    options: SelfControlledOptions,
    prepared: Preparation,
    window: RiskWindow,
    centre: Float64 | None = None,
) -> Evidence:
    """Fit all groups with the joins of some as events.

    Parameters
    ----------
    joins
        The log.
    outcome
        bool, shape (n_groups,): whose joins are events; all others are candidates.
    options
        ``penalty``, ``inflation``, ``aliases`` and ``second_contrast``.
    prepared, window
        How slots are made.
    centre
        Prior mean of each group's effect; 0 by default. ``posterior`` is for groups with 0.
    """
    slots, kinds = prepared.slots(joins, outcome, ~outcome, window=window)
    alias = np.arange(joins.n_groups)
    if options.aliases == "auto":
        alias = find_aliases(slots)
        slots = merge_aliases(slots, alias)
    likelihood = Likelihood(slots)
    fit = fit_joint(likelihood, penalty=options.penalty, centre=centre, two_sizes=True)
    tested = _with_time_before(joins, window)
    own = own_effects(likelihood, fit, bulk=options.inflation == "bulk", tested=tested)
    near, checks = _around(likelihood, fit, own, before=options.second_contrast == "before")
    n_slots = max(int(np.count_nonzero(slots.length)), 1)
    return Evidence(
        beta=fit.point.beta[alias],
        information=fit.information[alias],
        penalty=fit.penalty[alias],
        own=_spread(own, alias),
        near=_spread(near, alias),
        alias=alias,
        checks=checks,
        second_kind=0.0 if kinds is None else float(kinds.mean()),
        event_share=float(slots.events.sum()) / n_slots if slots.exact else 0.0,
    )


def _with_time_before(joins: JoinLog, window: RiskWindow) -> Mask | None:
    """Return groups of whose joiners somebody had joined another before, shape (n_groups,).

    Where exposures end, time after them could stand in for the time before. Of a group with
    which histories open that would be all there is, and history changes with age. None where
    it makes no difference: exposures last, or the log tells who was there before joining.
    """
    if not window.ends or joins.observed_from is not None:
        return None
    (later,) = add_up((n,) for n in over_parts(joins, _joined_later))
    return np.asarray(later > 0)


def _joined_later(part: JoinLog) -> Int64:
    """Return how many joined each group after their own first tick."""
    count = np.diff(part.offsets)
    first = np.repeat(part.time[part.offsets[:-1][count > 0]], count[count > 0])
    return np.bincount(part.group[part.time > first], minlength=part.n_groups)


def _around(
    likelihood: Likelihood, fit: JointFit, own: OwnEffects, *, before: bool
) -> tuple[NearEffects, tuple[Check, ...]]:
    slots = likelihood.slots
    unknown = np.full(slots.n_groups, np.nan)
    if not slots.exact or slots.n_cases == 0:
        return NearEffects(unknown, unknown, unknown, unknown, unknown), ()
    weight = likelihood.weights(fit.point)
    near = near_effects(slots, weight, fit.point.beta)
    checks = check_assumptions(slots, weight, near.z_before[own.informative])
    if not before:
        near = replace(near, z=unknown)
    return near, checks


def _spread(found: _Found, alias: Int64) -> _Found:
    """Give the members of a set what was found of the group that stands for it."""
    return replace(found, **{f.name: getattr(found, f.name)[alias] for f in fields(found)})
