"""The truth by counterfactual replay: what each group's joins did to its joiners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.randomness import Stream
from gateway.simulate.platform import History
from gateway.simulate.replay_kernels import direct_effects

__all__ = ["DirectEffects", "measure_direct_effects"]

# Work is cut into a fixed number of chunks of users, whatever the number of threads.
CHUNKS = 32


@dataclass(frozen=True, eq=False)
class DirectEffects:
    """Direct effect of every group on its joiners; each array has shape (n_groups,).

    Parameters
    ----------
    effect
        Mean over joins of (later target joins - later target joins without the join);
        NaN for target groups and for groups that nobody joined.
    standard_error
        Of that mean, joins taken as independent; NaN below two joins.
    n_joins
        Joins replayed.
    """

    effect: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]
    n_joins: npt.NDArray[np.int64]


def measure_direct_effects(history: History, is_target: npt.NDArray[np.bool_]) -> DirectEffects:
    """Replay every join's user without that join, everybody else frozen.

    For each join (u, g) user u lives again from then on with the same random numbers, the
    same friends' groups, invitations, recommendations and labels, but in a world in which
    g cannot be joined by u. What others would have done otherwise is left out: that is the
    total effect's matter.

    Parameters
    ----------
    history
        A simulated platform.
    is_target
        bool, shape (n_groups,): which joins count.

    Raises
    ------
    RuntimeError
        If a replay without any change does not give back the history: a fault of ours.
    """
    n_groups = len(is_target)
    sums, wrong = np.zeros((CHUNKS, n_groups, 3), np.int64), np.zeros(CHUNKS, np.int64)
    longest = int(np.diff(history.state.start).max(initial=0))
    direct_effects(
        history.scenery, history.labels, history.policies, history.others,
        history.invitations.mail(len(history.world.users)), is_target, longest,
        history.world.seed, int(Stream.JOINS), sums, wrong,
    )  # fmt: skip
    if wrong.any():
        raise RuntimeError(f"{wrong.sum()} occasions were not reproduced by their replay")
    n, total, squares = sums.sum(axis=0).T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.where(n > 0, total / n, np.nan)
        variance = (squares - n * effect**2) / (n - 1)
        error = np.where(n > 1, np.sqrt(np.maximum(variance, 0.0) / n), np.nan)
    return DirectEffects(effect, error, n.astype(np.int64))
