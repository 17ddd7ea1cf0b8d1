"""The event study against a slow twin, and what it must not depend on."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from gateway.analyses.curves import EVENT_STUDY_SCHEMA, MOST_EVENTS, event_study, mean_curve
from gateway.detect import UNRANKED, SpikeOptions, detect_spikes
from gateway.log.join_log import JoinLog
from gateway.score import score_joins
from tests.worlds import first_groups, linked_log

REACH = 4


@pytest.fixture(scope="module")
def found():
    joins = linked_log(2, users=300)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, horizon=10)
    options = SpikeOptions(min_joiners=5, min_spiking=1, alpha=0.5)
    return joins, targets, scores, detect_spikes(joins, targets, scores, options=options)


def slow_curve(scores, chosen, k):
    """Change of P at offset k by user, each history walked occasion by occasion."""
    rows = scores.prefixes
    by_user = defaultdict(list)
    for u in range(rows.n_users):
        mine = range(rows.offsets[u], rows.offsets[u + 1])
        ticks = sorted({rows.time[i] for i in mine})
        level = {}
        for b, tick in enumerate(ticks):
            here = [i for i in mine if rows.time[i] == tick]
            level[b, "before"], level[b, "after"] = scores.before[here[0]], scores.at_end[here[0]]
        for i in mine:
            if chosen[rows.group[i]]:
                b = ticks.index(rows.time[i])
                there = (b + k, "after") if k >= 0 else (b + k + 1, "before")
                if there in level:
                    by_user[u].append(level[there] - level[b, "before"])
    return by_user


@pytest.mark.parametrize("k", range(-REACH, REACH + 1))
def test_mean_curve__agrees_with_walking_every_history(found, k):
    joins, _, scores, _ = found
    chosen = np.isin(np.arange(joins.n_groups), (3, 4, 7))
    curve = mean_curve(scores, chosen[scores.prefixes.group], reach=REACH)
    slow = slow_curve(scores, chosen, k)
    changes = [change for mine in slow.values() for change in mine]
    at = k + REACH
    assert curve.offset[at] == k
    assert curve.n_events[at] == len(changes) > 20
    assert curve.n_users[at] == len(slow)
    assert curve.change[at] == pytest.approx(np.mean(changes), abs=1e-12)  # order of the sum
    mean, n, m = np.mean(changes), len(changes), len(slow)
    variance = sum((sum(mine) - len(mine) * mean) ** 2 for mine in slow.values())
    half = 1.959964 * np.sqrt(variance * m / (m - 1)) / n
    assert curve.ci_high[at] - curve.change[at] == pytest.approx(half, abs=1e-12)


def test_mean_curve__is_zero_just_before_the_join(found):
    scores = found[2]
    curve = mean_curve(scores, np.ones(len(scores.before), bool), reach=REACH)
    at = np.flatnonzero(curve.offset == -1)
    assert curve.change[at] == 0.0
    assert curve.ci_low[at] == curve.ci_high[at] == 0.0
    assert curve.mean[at] == pytest.approx(scores.before.mean())


def test_mean_curve__of_nothing_and_of_one_user_says_so(found):
    scores = found[2]
    nothing = mean_curve(scores, np.zeros(len(scores.before), bool), reach=2)
    assert nothing.n_events.tolist() == [0] * 5
    assert np.isnan(nothing.change).all()
    one = np.arange(len(scores.before)) == 0
    curve = mean_curve(scores, one, reach=0)
    assert curve.n_users.tolist() == [1]
    assert np.isnan(curve.ci_low).all()
    assert not np.isnan(curve.change).any()


def test_event_study__covers_flagged_and_other_ranked_groups_by_role(found):
    joins, _, scores, detection = found
    role = np.where(np.arange(joins.n_groups) % 2, "hub", "ordinary")
    table = event_study(scores, detection, role, reach=REACH)
    assert table.schema.equals(EVENT_STUDY_SCHEMA)
    ranked = detection.rank != UNRANKED
    n_groups = {(r["flagged"], r["role"]): r["n_groups"] for r in table.to_pylist()}
    assert sum(n for (flagged, _), n in n_groups.items() if flagged) == detection.flagged.sum() > 0
    assert sum(n_groups.values()) == ranked.sum()
    assert table.num_rows == len(n_groups) * (2 * REACH + 1)


def test_event_study__does_not_depend_on_the_order_of_ties(found):
    """A day holds many joins here; their order in the log is drawn anew."""
    joins, targets, scores, detection = found
    log = joins.to_pandas().sample(frac=1.0, random_state=1)
    again = JoinLog.from_dataframe(log)
    other = score_joins(again, first_groups(again, 2), horizon=10)
    role = np.full(joins.n_groups, "unknown")
    one = event_study(scores, detection, role)
    options = SpikeOptions(min_joiners=5, min_spiking=1, alpha=0.5)
    two = event_study(other, detect_spikes(again, targets, other, options=options), role)
    assert one.select(["offset", "n_events"]) == two.select(["offset", "n_events"])
    np.testing.assert_allclose(one["change"].to_numpy(), two["change"].to_numpy(), atol=1e-9)


def test_mean_curve__of_a_long_log_leaves_out_only_who_has_no_event(found):
    _, _, scores, _ = found
    at = scores.prefixes.group == 5
    expected = mean_curve(scores, at, reach=REACH)
    got = mean_curve(scores, at, reach=REACH, most=(0, MOST_EVENTS))
    for name in ("n_events", "n_users", "mean", "change", "ci_low", "ci_high"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


def test_mean_curve__of_too_many_events_is_that_of_a_sample_of_users(found):
    _, _, scores, _ = found
    at = np.ones(len(scores.before), bool)
    whole = mean_curve(scores, at, reach=REACH)
    got = mean_curve(scores, at, reach=REACH, most=(0, len(at) // 2))
    # Half of 300 users, give or take four standard deviations.
    assert abs(got.n_users[REACH] / whole.n_users[REACH] - 0.5) < 4 * np.sqrt(0.25 / 300)
    # Each is one draw of the same mean.
    half = (got.ci_high - got.ci_low)[REACH] / 2
    assert abs(got.change[REACH] - whole.change[REACH]) < 2 * half
