"""How long an effect lasts, and whether targets run out: judged by the events alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gateway.arrays import Mask
from gateway.config.detectors import SelfControlledOptions
from gateway.detect.detection import count_by_user
from gateway.detect.self_controlled.fit import fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood
from gateway.detect.self_controlled.preparation import Preparation
from gateway.detect.self_controlled.rows import Clock, RiskWindow
from gateway.detect.self_controlled.surrogates import sample_of
from gateway.errors import GatewayError, Problem
from gateway.log import Tick, ticks_in
from gateway.log.join_log import JoinLog
from gateway.log.work import over_parts

# Windows in time: so many halvings of the usual span of a history.
_HALVINGS = 6
_IN_JOINS = (1, 2, 4, 8, 16)
# What an effect that ends must gain in log marginal likelihood: twenty to one.
_MARGIN = 3.0
# Of the ladder: a quarter of a history, and four joins.
_FIRST_LOOK = slice(2, None, 7)


def window_in(options: SelfControlledOptions, tick: Tick) -> RiskWindow | None:
    """Return how long an exposure lasts on a log with such ticks; None where the data say.

    Raises
    ------
    GatewayError
        If it is no duration of such a log, or in joins on the calendar.
    """
    name, wanted = "self_controlled.risk_window", options.risk_window
    if wanted == "auto":
        return None
    if isinstance(wanted, str) and "join" in wanted:
        if options.clock == "calendar":
            rule = 'must be a time where clock is "calendar"'
            raise GatewayError(str(Problem(name, rule, repr(wanted))))
        return RiskWindow(joins=int(wanted.split()[0]))
    return RiskWindow(ticks_in(wanted or 0, tick, what=name, least=0))


def ladder(joins: JoinLog, outcome: Mask, *, clock: Clock) -> list[RiskWindow]:
    """Return the windows that are compared: no end, halves of a history, joins.

    The history is the median span of the users with an event between their first and last
    join.
    """
    spans = np.concatenate(list(over_parts(joins, _spans, outcome)))
    usual = int(np.median(spans)) if len(spans) else 0
    ticks = sorted({usual >> k for k in range(1, _HALVINGS + 1)} - {0}, reverse=True)
    in_joins = _IN_JOINS if clock == "joins" else ()
    return [RiskWindow(), *map(RiskWindow, ticks), *(RiskWindow(joins=k) for k in in_joins)]


def _spans(part: JoinLog, outcome: Mask) -> npt.NDArray[np.int64]:
    from_to, has = (part.offsets[:-1], part.offsets[1:] - 1), count_by_user(part, outcome) > 0
    first, last = (part.time[end[has]].astype(np.int64) for end in from_to)
    return np.asarray(last - first)


def choose_window(
    joins: JoinLog,
    outcome: Mask,
    *,
    prepared: Preparation,
    seed: int,
    forever: float | None = None,
) -> RiskWindow:
    """Choose how long a join counts, one length for all groups.

    Each window is fitted to the same events of the same cases, with a penalty of its own, and
    the one with the largest marginal likelihood is taken; for ever unless another is twenty
    times as likely. A quarter of a history and four joins are tried first, and the others only
    where one of those is likelier than for ever: an effect that ends shows in windows near its
    own, too. No truth enters. As one length serves all groups, what one group gains by the
    choice is small beside its own error: where nothing is true the p-values stay uniform
    (tests/test_self_controlled.py). Of more than ``MOST_CASES`` cases a sample is fitted, drawn
    by the users' names. ``forever`` is the log marginal likelihood of no end, where it is known.
    """
    sample = sample_of(joins, outcome, seed=seed)

    def evidence(window: RiskWindow) -> float:
        slots, _ = prepared.slots(joins, outcome, ~outcome, window=window, sample=sample)
        return fit_joint(Likelihood(slots)).evidence

    windows = ladder(joins, outcome, clock=prepared.clock)
    if forever is None:
        forever = evidence(windows[0])
    found = {windows[0]: forever}
    found |= {window: evidence(window) for window in windows[_FIRST_LOOK]}
    if max(found.values()) > forever:
        found |= {window: evidence(window) for window in windows if window not in found}
    best = max(found, key=lambda window: found[window])
    return best if found[best] > forever + _MARGIN else windows[0]


def targets_run_out(
    joins: JoinLog, outcome: Mask, *, prepared: Preparation, seed: int
) -> tuple[bool, float]:
    """Return whether ``Depletion`` makes the events more likely, and the better fit's evidence.

    It must where users join what they like and have not yet; it need not where an event does
    not take the next one's place, as in a log whose joins were permuted within users. The
    marginal likelihoods of the same events are compared, each at its own penalty.
    """
    whole, evidence = [], []
    for depletion in (True, False):
        slots, _ = replace(prepared, depletion=depletion).slots(
            joins, outcome, ~outcome, sample=sample_of(joins, outcome, seed=seed)
        )
        # The fit leaves out what does not depend on it: the lengths of the events' own slots.
        hit = slots.events > 0
        own = float(np.sum(slots.events[hit] * np.log(slots.length[hit])))
        evidence.append(fit_joint(Likelihood(slots)).evidence)
        whole.append(evidence[-1] + own)
    runs_out = whole[0] > whole[1]
    return runs_out, evidence[0 if runs_out else 1]
