"""Moderation: strikes that miss things, scores and labels of groups, labels of users."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gateway.config.platform import ModerationSection
from gateway.log.join_log import SOURCES
from gateway.simulate import live_through
from gateway.simulate.moderation import Moderation
from gateway.world import draw_world
from gateway.world.model import NEVER
from tests.worlds import small_config


def drawn(spread: float, share: float = 0.3, groups: int = 120) -> np.ndarray:
    """Severity of each group of a world."""
    world = draw_world(small_config("world.users=20", f"world.groups={groups}"))
    section = ModerationSection(severe_share=share, severe_spread=spread)
    return Moderation(world, section).severity


def test_severity__is_beta_over_groups_and_severe_strikes_beta_binomial():
    """Mean s, variance rho s (1 - s) (Skellam 1948); within 4 standard errors.

    The standard error of the variance is that of the law itself, whose tails are not normal.
    """
    s, rho, n = 0.3, 0.4, 20_000
    got = drawn(rho, s, n)
    law = stats.beta(s * (1 - rho) / rho, (1 - s) * (1 - rho) / rho)
    assert law.var() == pytest.approx(rho * s * (1 - s))
    assert stats.kstest(got, law.cdf).pvalue > 1e-3
    severe = np.random.default_rng(4).binomial(12, got)
    expected = stats.betabinom(12, *law.args)
    fourth = expected.expect(lambda k: (k - expected.mean()) ** 4)
    error = np.sqrt((fourth - expected.var() ** 2) / n)
    assert abs(severe.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(n)
    assert abs(severe.var() - expected.var()) < 4 * error


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.2), (0.5, 0.0), (0.5, 1.0)])
def test_severity__without_spread_is_the_share_of_every_group(spread, share):
    np.testing.assert_array_equal(drawn(spread, share), np.full(120, share))


def test_severity__changes_which_strikes_are_severe_and_nothing_else():
    alike, spread = (
        live_through(draw_world(small_config(f"moderation.severe_spread={rho}")))
        for rho in (0.0, 0.5)
    )
    np.testing.assert_array_equal(spread.strikes.count, alike.strikes.count)
    np.testing.assert_array_equal(spread.state, alike.state)
    for given, expected in zip(spread.labels[:3], alike.labels[:3], strict=True):
        np.testing.assert_array_equal(given, expected)
    assert (spread.strikes.severe != alike.strikes.severe).any()


def test_severity__of_a_group_holds_in_every_month():
    """Its own share, not one for each month: severe strikes of two months go along."""
    world = draw_world(small_config("world.users=20", "moderation.severe_spread=0.6"))
    moderation = Moderation(world, world.config.moderation)
    members = np.full(120, 400)
    for month in (0, 1):
        moderation.begin_month(month, members)
    strikes = moderation.strikes()
    struck = strikes.count[:, :2].sum(axis=2) > 50
    busy = struck.all(axis=1)
    share = (strikes.severe[busy, :2] / np.maximum(strikes.count[busy, :2], 1)).sum(axis=2)
    assert busy.sum() >= 8
    # At 50 strikes the binomial error of a share is .07 at most.
    np.testing.assert_allclose(share, moderation.severity[busy, None] * [1, 1], atol=0.3)
    assert np.corrcoef(share.T)[0, 1] > 0.9


def moderated(members: int, *, months: int = 1, groups: int = 3_000, **settings) -> Moderation:
    """Moderation of a world whose groups all have so many members, ``months`` begun."""
    world = draw_world(
        small_config("world.users=20", f"world.groups={groups}", "world.roles.targets=1000")
    )
    moderation = Moderation(world, ModerationSection(**settings))
    for month in range(months):
        moderation.begin_month(month, np.full(groups, members))
    return moderation


def test_strikes__miss_what_is_not_detected_each_group_by_its_own_share():
    """Mean detection x harm x members; shares are Beta, as severity is."""
    found = moderated(1_000, detection=0.4, detection_spread=0.3)
    violations = 1_000 * found.world.groups.harm.sum(axis=1)
    expected = violations * found.detection
    got = found.strikes().count[:, 0].sum(axis=1)
    assert abs(got.sum() - expected.sum()) < 4 * np.sqrt(expected.sum())
    law = stats.beta(0.4 * 0.7 / 0.3, 0.6 * 0.7 / 0.3)
    assert stats.kstest(found.detection, law.cdf).pvalue > 1e-3
    everything = moderated(1_000).strikes().count[:, 0].sum(axis=1)
    assert (got <= everything).all()


def test_strikes__are_false_in_every_group_alike():
    found = moderated(1_000, false_strikes=0.002)
    ordinary = found.world.groups.harm.sum(axis=1) == 0
    got = found.strikes().count[ordinary, 0].ravel()
    # Two kinds of harm, each Poisson of mean 2.
    assert got.mean() == pytest.approx(2.0, abs=4 * np.sqrt(2 / len(got)))
    assert got.var() == pytest.approx(2.0, rel=0.15)


def test_labels__follow_reports_where_strikes_miss_everything():
    found = moderated(1_000, months=2, detection=0.0, reports=0.5, review_days=0.0)
    harm = found.world.groups.harm.sum(axis=1)
    assert found.strikes().count.sum() == 0
    labelled = found.labels.non_rec < NEVER
    # 500 x harm reports on average against 400: beyond five standard deviations it is certain.
    assert labelled[500 * harm > 510].all()
    assert not labelled[500 * harm < 310].any()
    assert labelled.any()


def test_labels__count_a_severe_strike_more_by_its_weight():
    found = moderated(100, months=2, severe_weight=3.0, review_days=0.0)
    strikes = found.strikes()
    count, severe = (x[:, 0].sum(axis=1) for x in (strikes.count, strikes.severe))
    np.testing.assert_array_equal(found.labels.non_rec < NEVER, count + 3 * severe >= 400)
    assert ((count < 400) & (count + 3 * severe >= 400)).any()


def test_demotion__is_the_share_of_every_reviewed_group_unless_they_differ():
    found = moderated(60, months=2)
    demoted = found.labels.demoted < NEVER
    np.testing.assert_array_equal(found.labels.demotion, np.where(demoted, 0.5, 0.0))
    assert 0 < demoted.sum() < 1_000


def test_demotion__is_a_score_of_the_group_that_grows_with_the_evidence():
    """1 - (1 - s)^((n / t)^slope), s ~ Beta; by hand for each group that is reviewed."""
    found = moderated(60, months=2, demotion=0.3, demotion_spread=0.2, demotion_slope=0.5)
    demoted, strikes = found.labels.demoted < NEVER, found.strikes().count[:, 0].sum(axis=1)
    for g in np.flatnonzero(demoted)[:50]:
        expected = 1 - found.leniency[g] ** np.sqrt(strikes[g] / 100)
        assert found.labels.demotion[g] == pytest.approx(expected)
        assert found.labels.demotion[g] >= 1 - found.leniency[g]
    law = stats.beta(0.3 * 4, 0.7 * 4)
    assert stats.kstest(1 - found.leniency, law.cdf).pvalue > 1e-3
    assert (found.labels.demotion[~demoted] == 0).all()


EARLY = (
    "world.users=6000", "moderation.review_days=1.0", "moderation.demote_strikes=5",
    "moderation.non_amp_strikes=5", "moderation.non_rec_strikes=5", "moderation.demotion=0.0",
    "world.harm_interest=0.1", "targets.min_strikes=1",
)  # fmt: skip


def joins_to_labelled(*settings: str) -> tuple[int, int, int]:
    """Joins of groups that are labelled by day 95, since then: recommended, of friends, all."""
    history = live_through(draw_world(small_config(*EARLY, *settings)))
    given = live_through(draw_world(small_config(*EARLY))).labels
    log = history.joins()
    labelled = np.maximum(given.non_rec, given.non_amp) < 95
    late = (log.time >= 95) & labelled[log.group]
    by = [
        np.isin(log.source, [SOURCES.index(name) for name in names])
        for names in (("gysj", "groups_discover_tab"),
                      ("newsfeed_story_header", "newsfeed_reshared_story"))
    ]  # fmt: skip
    return int((late & by[0]).sum()), int((late & by[1]).sum()), int(late.sum())


def test_labels__reduce_the_reach_of_a_group_by_their_share():
    """Not a surface switched off: a part of what would have come still comes."""
    nothing = joins_to_labelled("moderation.acts=false")
    off = joins_to_labelled()
    half = joins_to_labelled("moderation.non_rec_reduction=0.5", "moderation.non_amp_reduction=0.5")
    assert off[:2] == (0, 0)
    for some, all_ in zip(half[:2], nothing[:2], strict=True):
        # Fewer members seed and show the group less in turn: rather less than a half is left.
        assert 0.25 * all_ < some < 0.75 * all_
    # So the share of a surface among the joins follows the label's share, not its date alone.
    shares = [run[0] / run[2] for run in (nothing, half, off)]
    assert shares[0] > shares[1] > 0.4 * shares[0]
    assert shares[2] == 0.0


def test_labels__that_reduce_nothing_change_nobody():
    free = ("moderation.non_rec_reduction=0.0", "moderation.non_amp_reduction=0.0")
    one, other = (
        live_through(draw_world(small_config(*EARLY, "world.users=800", *settings)))
        for settings in (free, ("moderation.acts=false",))
    )
    assert (one.labels.non_rec < 100).any()
    np.testing.assert_array_equal(one.state, other.state)


def harmful_joins(history) -> tuple[np.ndarray, np.ndarray]:
    """Number of harmful groups that each user joined, and the first day of one, or NEVER."""
    log, harm = history.joins(), history.world.groups.harm.sum(axis=1) > 0
    hit, user = harm[log.group], log.user()
    first = np.full(log.n_users, NEVER)
    np.minimum.at(first, user[hit], log.time[hit])
    return np.bincount(user[hit], minlength=log.n_users), first


def test_user_labels__follow_harmful_memberships_at_once_where_nothing_is_missed():
    world = draw_world(small_config("moderation.flag_chance=1.0", "moderation.flag_days=0.0"))
    history = live_through(world)
    np.testing.assert_array_equal(history.flagged(), harmful_joins(history)[1])


def test_user_labels__miss_and_are_late_and_are_sometimes_false():
    """Of n harmful memberships at least one is found out with 1 - (1 - q)^n."""
    q, users = 0.4, 20_000
    base = (f"world.users={users}", f"moderation.flag_chance={q}", "moderation.flag_days=20.0")
    history = live_through(draw_world(small_config(*base)))
    n, first = harmful_joins(history)
    flagged = history.flagged()
    assert (flagged[n == 0] == NEVER).all()
    for k in (1, 2):
        expected, among = 1 - (1 - q) ** k, n == k
        error = np.sqrt(expected * (1 - expected) / among.sum())
        assert (flagged[among] < NEVER).mean() == pytest.approx(expected, abs=4 * error)
    once = (n == 1) & (flagged < NEVER)
    delay = flagged[once] - first[once]
    # Whole days of an exponential delay: mean 1 / (e^(1 / m) - 1), m - 1/2 nearly.
    assert delay.mean() == pytest.approx(19.5, abs=4 * 20 / np.sqrt(once.sum()))
    false = live_through(draw_world(small_config(*base, "moderation.false_flags=0.1"))).flagged()
    got = (false[n == 0] < NEVER).mean()
    assert got == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / (n == 0).sum()))
