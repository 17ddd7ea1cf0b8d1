from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.analyses import probability_curves
from gateway.analyses.curves import CURVES_SCHEMA
from gateway.detect import SpikeOptions, detect_spikes, find_spikes
from gateway.score import score_joins
from tests.worlds import first_groups, linked_log

OPTIONS = SpikeOptions(min_joiners=5, min_spiking=1)


@pytest.fixture(scope="module")
def found():
    joins = linked_log(2, users=300)
    targets = first_groups(joins, 2)
    scores = score_joins(joins, targets, horizon=10)
    detection = detect_spikes(joins, targets, scores, options=OPTIONS)
    return joins, targets, scores, detection


def curves(found, count=4, spike=None):
    joins, _, scores, _ = found
    spike = find_spikes(scores, options=OPTIONS) if spike is None else spike
    role = np.full(joins.n_groups, "unknown")
    return probability_curves(*found, spike, role, count=count)


def test_curves__are_whole_histories_up_to_the_first_target(found):
    joins, targets, _, _ = found
    table = curves(found)
    assert table.schema.equals(CURVES_SCHEMA)
    names = targets.names(joins)
    log = joins.to_pandas()
    for panel in set(table["panel"].to_pylist()):
        rows = [r for r in table.to_pylist() if r["panel"] == panel]
        mine = log[log["user"] == rows[0]["user"]]
        hits = mine[mine["group"].isin(names)]["time"]
        end = hits.min() if len(hits) else 10**9
        expected = mine[(mine["time"] < end) & ~mine["group"].isin(names)]["group"].tolist()
        assert [r["group"] for r in rows if not r["is_target"]] == expected
        assert [r["is_target"] for r in rows].count(True) == min(len(hits), 1)
        assert [r["position"] for r in rows] == list(range(1, len(rows) + 1))


def test_curves__show_failures_beside_successes(found):
    table = curves(found).to_pylist()
    ends = [any(r["is_target"] for r in table if r["panel"] == p) for p in range(4)]
    assert ends == [True, False, True, False]


def test_curves__are_distinct_users_of_five_to_twenty_joins(found):
    table = curves(found, count=8).to_pylist()
    users = {(r["panel"], r["user"]) for r in table}
    assert len({u for _, u in users}) == len(users) > 2
    for panel, _ in users:
        assert 5 <= sum(r["panel"] == panel and not r["is_target"] for r in table) <= 20


def test_curves__of_no_spike_are_an_empty_table(found):
    none = np.zeros(len(found[2].after), bool)
    assert curves(found, spike=none).num_rows == 0


def test_curves__do_not_depend_on_which_groups_are_flagged_when_all_or_none_are(found):
    joins, targets, scores, detection = found
    for flagged in (np.ones(joins.n_groups, bool), np.zeros(joins.n_groups, bool)):
        other = dataclasses.replace(detection, flagged=flagged)
        got = curves((joins, targets, scores, other)).drop_columns(["is_gateway"])
        if flagged.all():
            expected = got
    assert got.equals(expected)
