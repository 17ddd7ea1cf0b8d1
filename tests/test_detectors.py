"""Laws that every registered detector keeps, whatever it computes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway
from gateway.config import parse_config
from gateway.config.detectors import OPTIONS
from gateway.detect import DETECTORS, REGISTRY, Detection, SelfControlledOptions
from gateway.errors import GatewayError, LogError
from gateway.log.join_log import JoinLog
from gateway.score import Scores, score_joins
from gateway.targets import TargetSet
from tests.worlds import first_groups, linked_log

# Small groups count too, and nothing is chosen at random by name.
SMALL = {"min_joiners": 3, "min_spiking": 1, "min_events": 1, "penalty": 10.0}
# They ask what users join after their first target join; the others stop there.
LOOKS_BEYOND_FIRST_TARGET = {"order", "self_controlled", "edges"}

each_detector = pytest.mark.parametrize("name", DETECTORS)


def small_options(name: str) -> dict:
    known = REGISTRY[name].options.model_fields
    return {key: value for key, value in SMALL.items() if key in known}


def traced(joins: JoinLog) -> JoinLog:
    """Let each join be recommended because of the only join of the latest earlier tick."""
    seed, user = np.full(joins.n_joins, -1), joins.user()
    for i in range(joins.n_joins):
        own = (user == user[i]) & (joins.time < joins.time[i])
        last = own & (joins.time == joins.time[own].max(initial=-1))
        if last.sum() == 1:
            seed[i] = joins.group[last][0]
    return replace(joins, seed_group=seed.astype(np.int32))


def found(name: str, joins: JoinLog, targets: TargetSet, **more) -> Detection:
    if name == "edges":
        joins = traced(joins)
    return gateway.detect(joins, targets, detector=name, **(small_options(name) | more))


@cache
def example() -> tuple[JoinLog, TargetSet, Scores]:
    joins = linked_log(4, users=200, days=25)  # few ticks: many ties
    targets = first_groups(joins, 2)
    return joins, targets, score_joins(joins, targets)


@cache
def detection(name: str) -> Detection:
    joins, targets, scores = example()
    return found(name, joins, targets, scores=scores)


@each_detector
def test_table__has_the_columns_of_the_contract_and_no_target(name):
    joins, targets, _ = example()
    table = detection(name).to_arrow()
    expected = [
        "detector", "group", "score", "estimate", "ci_low", "ci_high", "p_value", "q_value",
        "n_joiners", "n_events", "flagged", "level_held", "rank",
    ]  # fmt: skip
    assert table.column_names[: len(expected)] == expected
    assert set(table["detector"].to_pylist()) == {name}
    assert not set(table["group"].to_pylist()) & set(targets.names(joins))
    assert table.num_rows == joins.n_groups - targets.count


@each_detector
def test_numbers__keep_to_their_ranges(name):
    d = detection(name)
    ranked = d.rank > 0
    assert ranked.sum() > 5
    assert not (ranked & ~d.candidate).any()
    assert np.isfinite(d.score[ranked]).all()
    order = np.argsort(d.rank[ranked], kind="stable")
    assert (np.diff(d.score[ranked][order]) <= 0).all()
    p, q = d.p_value, d.q_value
    assert np.array_equal(np.isnan(p), np.isnan(q))
    tested = ~np.isnan(p)
    assert ((p[tested] >= 0) & (p[tested] <= q[tested]) & (q[tested] <= 1)).all()
    assert not (d.flagged & ~tested).any()
    assert (d.n_events <= d.n_joiners).all()


@cache
def even_log(*, early: bool = False) -> tuple[JoinLog, TargetSet]:
    """Groups that differ by chance alone, or not at all: a prior fitted to them collapses.

    ``early``: a third of the target joins come before all others, as a contrast within users
    needs.
    """
    user, k = np.repeat(np.arange(100), 2), np.arange(200)
    group, half = (k // 2 + k % 2 * 2) % 5 + 1, np.arange(0, 100, 2)
    joins = JoinLog.from_arrays(
        np.concatenate([user, half]),
        np.concatenate([group, np.zeros(50, int)]),
        np.concatenate([np.tile([1, 2], 100), np.where(early & (half % 3 == 0), 0, 5)]),
        observed_from=0,
        observed_until=6,
    )
    return joins, first_groups(joins, 1)


def logs() -> list[tuple[JoinLog, TargetSet]]:
    several = [linked_log(seed, users=120, days=days) for seed, days in ((1, 15), (2, 300))]
    return [
        *((joins, first_groups(joins, 2)) for joins in several),
        even_log(early=True),
        example()[:2],
    ]


@each_detector
@pytest.mark.parametrize("which", range(4))
def test_estimate__is_within_an_interval_that_has_a_width(name, which):
    joins, targets = logs()[which]
    d = found(name, joins, targets)
    known = ~np.isnan(d.ci_low) & ~np.isnan(d.estimate)
    assert known.any() or not d.measure.test
    # Rounding of the last digit.
    assert (d.ci_low[known] <= d.estimate[known] + 1e-12).all()
    assert (d.estimate[known] <= d.ci_high[known] + 1e-12).all()
    ranked = known & (d.rank > 0)
    least = 1.05 if d.measure.estimate.is_log else 0.005
    low, high = d.ci_low[ranked], d.ci_high[ranked]
    width = high / np.maximum(low, 1e-9) if d.measure.estimate.is_log else high - low
    assert (width > least).all()


@pytest.mark.parametrize("name", ["frequentist", "order", "survival", "matching"])
def test_interval__of_groups_that_are_all_alike_is_not_that_of_the_prior(name):
    """20 of 40: Clopper and Pearson give .338 to .662, no method with 40 people much less."""
    joins, targets = even_log()
    d = found(name, joins, targets)
    ranked = d.rank > 0
    assert ranked.sum() == 5
    if name == "frequentist":
        assert np.round(d.ci_low[ranked], 3).tolist() == [0.338] * 5
        assert np.round(d.ci_high[ranked], 3).tolist() == [0.662] * 5
    assert (d.ci_high - d.ci_low)[ranked].min() > 0.15


@each_detector
def test_measure__says_what_every_number_is(name):
    measure = REGISTRY[name].measure
    d = detection(name)
    assert (d.detector, measure.detector) == (name, name)
    assert d.measure == measure
    for text in (measure.estimate.axis, measure.score.axis, measure.joiners, measure.events):
        assert text
    assert bool(measure.test) == (~np.isnan(d.p_value)).any()
    no_effect = measure.estimate.no_effect
    assert not isinstance(no_effect, str) or no_effect in d.extra
    assert "spik" not in measure.events or name == "spike"


@each_detector
def test_flags__are_none_where_the_level_is_not_held(name):
    d = detection(name)
    assert d.measure.holds_level or not d.flagged.any()
    table = d.to_arrow()
    expected = [None if p is None else d.measure.holds_level for p in table["p_value"].to_pylist()]
    assert table["level_held"].to_pylist() == expected


def test_flags__of_a_detector_that_does_not_hold_its_level_would_be_there():
    """The example has small q-values of both: the flags are withheld, not missing."""
    assert not REGISTRY["survival"].measure.holds_level
    assert (detection("survival").q_value < 0.05).any()


def test_level__is_not_claimed_for_options_that_lose_it():
    joins, targets, scores = example()
    d = found("spike", joins, targets, scores=scores, p_value="normal")
    assert not d.measure.holds_level
    assert not d.flagged.any()


@each_detector
def test_groups_that_lead_to_targets__stand_above_the_others(name):
    """In the example groups 3 to 5 send half of their joiners to a target."""
    rank = detection(name).rank
    assert (rank[3:6] > 0).all()
    place = np.where(rank > 0, rank, rank.size)  # without a rank: behind all that have one
    assert np.median(place[3:6]) < np.median(place[6:])


@each_detector
def test_detection__does_not_depend_on_the_order_of_rows(name):
    joins, targets, _ = example()
    rows = joins.to_arrow()
    order = np.random.default_rng(1).permutation(rows.num_rows)
    again = JoinLog.from_dataframe(rows.take(pa.array(order)))
    assert found(name, again, targets).to_arrow().equals(found(name, joins, targets).to_arrow())


@each_detector
@given(seed=st.integers(0, 2**16))
@settings(max_examples=4, deadline=None)
def test_detection__does_not_depend_on_group_ids_nor_on_the_order_of_ties(name, seed):
    """Other ids bring the groups of a tie block into another order."""
    joins, targets, _ = example()
    rng = np.random.default_rng(seed)
    new = rng.permutation(joins.n_groups)
    moved = JoinLog.from_arrays(
        joins.user(), new[joins.group], joins.time, users=joins.users.to_pylist(),
        observed_until=joins.observed_until, observed_from=joins.observed_from,
    )  # fmt: skip
    mask = np.zeros(joins.n_groups, bool)
    mask[new[targets.mask]] = True
    a = found(name, joins, targets)
    same_findings(a, found(name, moved, TargetSet(mask, "the same")), new)


@each_detector
def test_detection__does_not_depend_on_user_ids(name):
    """Users are told apart by name alone; what draws by name is not run here."""
    if {"scores", "seed"} & REGISTRY[name].takes and "penalty" not in small_options(name):
        pytest.skip("folds and negative controls are drawn by name, which makes another run")
    joins, targets, _ = example()
    new = np.random.default_rng(2).permutation(joins.n_users)
    moved = JoinLog.from_arrays(new[joins.user()], joins.group, joins.time)
    assert moved.n_groups == joins.n_groups
    same_findings(
        found(name, joins, targets), found(name, moved, targets), np.arange(joins.n_groups)
    )


def same_findings(a: Detection, b: Detection, new: np.ndarray) -> None:
    """Sums run in another order: equal but for rounding, and for where an optimiser stops."""
    at = a.candidate
    np.testing.assert_array_equal(a.n_joiners[at], b.n_joiners[new][at])
    np.testing.assert_array_equal(a.n_events[at], b.n_events[new][at])
    for name in ("score", "estimate", "ci_low", "ci_high", "p_value", "q_value"):
        got, expected = getattr(b, name)[new][at], getattr(a, name)[at]
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5, err_msg=name)


@each_detector
def test_detection__does_not_see_what_follows_the_first_target(name):
    if name in LOOKS_BEYOND_FIRST_TARGET:
        pytest.skip("what users join afterwards is what it is about")
    joins, targets, _ = example()
    user, is_target = joins.user(), targets.mask[joins.group]
    first = np.full(joins.n_users, 10**6)
    np.minimum.at(first, user[is_target], joins.time[is_target])
    kept = joins.time <= first[user]
    assert not kept.all()
    cut = JoinLog.from_arrays(
        user[kept], joins.group[kept], joins.time[kept], users=joins.users.to_pylist(),
        groups=joins.groups.to_pylist(), observed_until=joins.observed_until,
        observed_from=joins.observed_from,
    )  # fmt: skip
    assert found(name, cut, targets).to_arrow().equals(found(name, joins, targets).to_arrow())


@each_detector
def test_groups_with_too_few_joiners__are_neither_ranked_nor_tested(name):
    joins, targets, scores = example()
    if "min_joiners" not in REGISTRY[name].options.model_fields:
        pytest.skip("it has a floor of another kind")
    d = found(name, joins, targets, scores=scores, min_joiners=10_000)
    assert not d.rank.any()
    assert np.isnan(d.q_value).all()
    assert not d.flagged.any()
    assert d.to_arrow().num_rows == joins.n_groups - targets.count


@pytest.mark.parametrize("name", [n for n in DETECTORS if not REGISTRY[n].needs_scores])
@pytest.mark.parametrize("who", ["nobody joins a target", "a target is all that is joined"])
def test_detection__of_a_log_that_tells_nothing_is_no_crash(name, who):
    user, group = np.repeat(np.arange(6), 2), np.tile([1, 2], 6)
    if who == "a target is all that is joined":
        user, group = np.arange(6), np.zeros(6, int)
    joins = JoinLog.from_arrays(user, group, np.arange(len(user)), groups=["a", "b", "c", "d"])
    targets = TargetSet(np.array([True, False, False, False]), "the first")
    if name == "self_controlled" and who == "nobody joins a target":
        with pytest.raises(LogError, match="some user must join a target"):
            found(name, joins, targets)
        return
    d = found(name, joins, targets)
    assert not d.flagged.any()
    assert d.to_arrow().num_rows == 3


# The names agree everywhere --------------------------------------------------------------


def test_names__are_the_same_in_registry_and_config():
    assert tuple(OPTIONS) == DETECTORS


@each_detector
def test_section__has_the_options_and_their_defaults(name):
    text = 'experiment.name = "a"\nlog.path = "a.csv"\ntargets.groups = ["b"]'
    assert getattr(parse_config(text), name) == REGISTRY[name].options()


def test_help__names_every_detector():
    from typer.testing import CliRunner

    from gateway.cli.app import app

    said = CliRunner().invoke(app, ["detect", "--help"]).output
    assert [word for word in DETECTORS if f"{word}," not in said and f"{word};" not in said] == []


@each_detector
def test_options__unknown_ones_are_refused(name):
    joins, targets, _ = example()
    with pytest.raises(GatewayError, match=f"{name}.quantle is not a known key"):
        gateway.detect(joins, targets, detector=name, quantle=0.5)


@each_detector
def test_options__out_of_range_ones_are_refused_in_the_words_of_the_config(name):
    with pytest.raises(GatewayError) as caught:
        REGISTRY[name].options(min_joiners=0, alpha="5 %")
    rule = f"{name}.min_joiners must be a whole number of at least 1; got 0"
    assert str(caught.value).split("\n")[0] == rule
    assert len(str(caught.value).split("\n")) == 2


def test_options__take_what_python_has_for_numbers_and_spans():
    options = SelfControlledOptions(
        min_joiners=np.int64(7),
        alpha=np.float64(0.1),
        risk_window=timedelta(hours=36),
    )
    assert (options.min_joiners, options.alpha, options.risk_window) == (7, 0.1, "129600s")
