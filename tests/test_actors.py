"""People: the note's questions on invitations, and who brings others to targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gateway.analyses import invitations_in, inviting, rank_inviters
from gateway.analyses.record import Invitations
from gateway.config import parse_config
from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.pipeline import obtain_inputs
from gateway.world import Role
from tests.worlds import SMALL


def log_by_hand():
    """Groups 0 (gateway), 1 (target), 2; user 0 joins 0 on day 1, the others join 2."""
    return JoinLog.from_arrays(
        np.array([0, 0, 1, 2, 3]), np.array([0, 2, 2, 2, 1]), np.array([1, 5, 2, 3, 4]),
        tick="day",
    )  # fmt: skip


SENT = Invitations(
    sender=np.array([1, 1, 2, 0, 0], np.int32), receiver=np.array([0, 0, 3, 1, 2], np.int32),
    group=np.array([1, 0, 2, 1, 2], np.int32), time=np.array([3, 3, 4, 0, 6], np.int32),
    super_inviter=np.array([False, True, False, False]),
)  # fmt: skip


def test_inviting__by_hand():
    """Of the invitation into group 0 a super-inviter sent all, of the other four one.

    Both that went to user 0 came after the join of group 0, from a super-inviter. Members sent
    one invitation (day 6), to no target. They made one join as members (group 2 on day 5),
    others four; invitations for each join 1 / 1 and 4 / 4.
    """
    gateways, targets = np.array([True, False, False]), np.array([False, True, False])
    rows = inviting(log_by_hand(), SENT, gateways=gateways, targets=targets).to_pylist()
    got = [row["value"] for row in rows]
    np.testing.assert_allclose(
        got, [1.0, 0.25, 0.75, 1.0, 0.0, 1.0, 0.0, 1 / 3, -1 / 3, 1.0, 1.0, 1.0]
    )
    assert rows[2]["ci_low"] < 0.75 < rows[2]["ci_high"]


def test_inviting__intervals_of_unclustered_invitations_are_those_of_two_shares():
    """Each sender one invitation: the difference has the two shares' own error."""
    rng = np.random.default_rng(5)
    n = 400
    log = JoinLog.from_arrays(
        np.arange(n), np.where(np.arange(n) % 2 == 0, 0, 2), np.zeros(n, int), tick="day"
    )
    sent = Invitations(
        sender=np.arange(n, dtype=np.int32), receiver=np.arange(n, dtype=np.int32),
        group=rng.integers(0, 2, n).astype(np.int32), time=np.ones(n, np.int32),
        super_inviter=rng.random(n) < 0.3,
    )  # fmt: skip
    gateways = np.array([True, False, False])[: log.n_groups]
    rows = inviting(log, sent, gateways=gateways, targets=~gateways).to_pylist()
    a, b = (sent.super_inviter[sent.group == g] for g in (0, 1))
    error = np.sqrt(a.var() / len(a) + b.var() / len(b)) * np.sqrt(n / (n - 1))
    got = (rows[2]["ci_high"] - rows[2]["ci_low"]) / 2
    np.testing.assert_allclose(got, stats.norm.ppf(0.975) * error, rtol=1e-5)


def test_inviters__need_the_column():
    with pytest.raises(LogError, match="needs the column inviter"):
        invitations_in(log_by_hand())


@pytest.mark.compiled
def test_inviters__operators_of_gateways_rank_first_and_alone_are_called():
    """An operator invites to targets alone; other people to whatever they join."""
    config = parse_config(
        SMALL,
        overrides=["world.users=4000", "world.roles.influence=0", "world.roles.inviter=6",
                   "world.roles.inviter_strength=0.8"],
    )  # fmt: skip
    inputs = obtain_inputs(config)
    groups = inputs.history.world.groups
    names = inputs.joins.users.to_pylist()
    operators = {names[u] for u in groups.operator[groups.role == Role.INVITER]}
    found = rank_inviters(inputs.joins, inputs.targets).to_pylist()
    assert {row["user"] for row in found[:4]} <= operators
    called = {row["user"] for row in found if row["flagged"]}
    assert len(called & operators) >= 3
    assert len(called - operators) <= 1
    for row in found:
        if row["user"] in called:
            assert row["ratio_low"] > 1.5
            assert 0 < row["averted"] <= row["n_targets"] <= row["n_invited"]
    alone = replace(inputs.joins, inviter=None)
    with pytest.raises(LogError):
        rank_inviters(alone, inputs.targets)
