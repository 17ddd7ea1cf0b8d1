"""The note's analyses: worked cases, other implementations, worlds where nothing is true."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gateway import analyses
from gateway.analyses import entities, exposure, group_labels, proportions
from gateway.analyses.published import CORRELATIONS, SECOND_SOURCES, SOURCES_EVER, Row, compare
from gateway.analyses.record import Invitations, Record, Requests, until
from gateway.config import parse_config
from gateway.detect import detect_spikes
from gateway.errors import ConfigError
from gateway.log.join_log import SOURCES, JoinLog
from gateway.results import compare_results, open_result
from gateway.score import score_joins
from gateway.simulate import live_through
from gateway.simulate.sources import SOURCE_TABLE, Mechanism, cumulative_weights
from gateway.targets import TargetSet
from gateway.world import Arms, draw_world
from gateway.world.model import NEVER
from tests.worlds import small_config

DAYS = 100


def _empty(n: int, kind: type) -> np.ndarray:
    return np.empty(n, kind)


def make_record(joins, *, n_users, n_groups, targets=(), top=(), **changes) -> Record:
    """A record by hand: (user, group, day) of every join, and what else is said."""
    rows = np.array(joins, np.int64).reshape(-1, 3)
    log = JoinLog.from_arrays(
        rows[:, 0], rows[:, 1], rows[:, 2], tick="day",
        users=[f"u{i:06d}" for i in range(n_users)],
        groups=[f"g{i:06d}" for i in range(n_groups)],
        observed_from=np.zeros(n_users, np.int32),
        observed_until=np.full(n_users, DAYS - 1, np.int32),
    )  # fmt: skip
    never, nobody = np.full(n_groups, NEVER, np.int32), np.zeros(n_users, bool)
    i32, none = np.int32, 0
    record = Record(
        joins=log,
        is_target=np.isin(np.arange(n_groups), targets),
        top=np.array(top, np.int64),
        score=np.zeros(n_groups),
        ranked=~np.isin(np.arange(n_groups), targets),
        workflow_day=50,
        days=DAYS,
        requests=Requests(_empty(none, i32), _empty(none, i32), _empty(none, i32),
                          _empty(none, np.uint8), _empty(none, bool)),
        invitations=Invitations(*(_empty(none, i32) for _ in range(4)), nobody),
        exposed=np.full(n_users, NEVER, i32),
        shown=np.zeros(n_users, i32),
        featured=np.zeros(n_users, i32),
        arms=Arms(*[nobody] * 5),
        flagged=np.full(n_users, NEVER, i32),
        topic=np.zeros(n_groups, np.int16),
        non_rec=never,
        non_amp=never,
        demoted=never,
        demotion=np.ones(n_groups),
        strikes=np.zeros((n_groups, 2), np.int64),
        severe=np.zeros((n_groups, 2), np.int64),
        month_start=np.array([0, 50]),
    )  # fmt: skip
    return replace(record, **changes)


def drawn(n_users: int, **held: object) -> Arms:
    """Holdouts of some arms, nobody held out of the others."""
    none = dict.fromkeys(("gysj", "pymi", "pymk", "pymi_featured", "pymk_featured"),
                         np.zeros(n_users, bool))  # fmt: skip
    return Arms(**none | {arm: np.array(who, bool) for arm, who in held.items()})


def value(table: pa.Table, quantity: str, column: str = "simulated") -> object:
    """The one row whose quantity is so called."""
    (row,) = table.filter(pc.equal(table["quantity"], quantity)).to_pylist()
    return row[column]


# The comparison --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("simulated", "published", "tolerance", "expected"),
    [
        (0.30, 0.28, 0.02, True),
        (0.31, 0.28, 0.02, False),
        (0.30, None, 0.02, None),
        (0.30, 0.28, None, None),
        (math.nan, 0.28, 0.02, False),
    ],
)
def test_compare__judges_what_has_a_published_value_and_a_tolerance(
    simulated, published, tolerance, expected
):
    table = compare([Row("R1", "x", simulated, (0.1, math.nan), published, tolerance)])
    (got,) = table.to_pylist()
    assert got["within"] is expected
    assert got["ci_high"] is None
    assert got["simulated"] == (None if math.isnan(simulated) else simulated)


def test_published__tables_have_the_sums_that_the_note_shows():
    assert sum(row.requests for row in SOURCES_EVER) == 4_805_574
    assert sum(row.confirmed for row in SOURCES_EVER) == 4_176_975
    shares = [round(row.confirmed / row.requests, 3) for row in SECOND_SOURCES]
    assert shares == [0.907, 0.898, 0.541, 0.892, 0.838, 0.873, 0.829]
    assert sum(row.source is None for row in SOURCES_EVER) == 7
    assert all(abs(r) <= 1 for r in CORRELATIONS.values())


# Shares ----------------------------------------------------------------------------------

PAIRS = [((52, 400), (31, 380)), ((3, 50), (9, 45)), ((900, 10_000), (88, 1_000))]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_proportions__agree_with_statsmodels(one, other):
    from statsmodels.stats import proportion as oracle

    a, b = proportions.Share(*one), proportions.Share(*other)
    expected = oracle.confint_proportions_2indep(*one, *other, method="newcomb", compare="diff")
    assert proportions.difference(a, b) == pytest.approx(expected, abs=1e-12)
    expected = oracle.confint_proportions_2indep(*one, *other, method="log", compare="ratio")
    assert proportions.risk_ratio(a, b)[1] == pytest.approx(expected, rel=1e-9)
    _, p = oracle.proportions_ztest([a.k, b.k], [a.n, b.n])
    assert proportions.two_sided_p(a, b) == pytest.approx(p, rel=1e-9)
    _, p = oracle.tost_proportions_2indep(
        *one, *other, 1 / 1.2, 1.2, compare="ratio", method="log"
    )[:2]
    assert proportions.equivalence_p(a, b, margin=0.2) == pytest.approx(p, rel=1e-9)


def test_power__agrees_with_statsmodels_and_grows_to_80_percent_at_the_detectable():
    from statsmodels.stats.power import NormalIndPower

    n1, n2, share = 8_000, 2_000, 0.1
    least = proportions.minimal_detectable(share, n1, n2)
    sd = math.sqrt(share * (1 - share))
    for effect in (0.005, 0.01, least):
        expected = NormalIndPower().power(effect / sd, n1, 0.05, ratio=n2 / n1)
        assert proportions.power(share, effect, n1, n2) == pytest.approx(expected, rel=1e-9)
    # The tail on the wrong side, which the closed form leaves out, is 1e-6 here.
    assert proportions.power(share, least, n1, n2) == pytest.approx(0.8, abs=1e-5)


def test_e_value__is_one_where_the_interval_holds_one_and_mirrors():
    assert proportions.e_value(1.2, (0.9, 1.6))[1] == 1.0
    assert proportions.e_value(0.5, (0.4, 0.6)) == pytest.approx(
        proportions.e_value(2.0, (1 / 0.6, 2.5))
    )
    # A confounder with risk ratios E and E biases by at most E^2 / (2 E - 1).
    e, _ = proportions.e_value(1.227, (1.1, 1.3))
    assert e**2 / (2 * e - 1) == pytest.approx(1.227)


def test_clustered_share__agrees_with_the_cluster_robust_mean():
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    cluster = rng.integers(0, 30, 400)
    hit = rng.random(400) < 0.1 + 0.02 * cluster
    fit = sm.OLS(hit.astype(float), np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False}
    )
    half = 1.959964 * fit.bse[0] * math.sqrt(30 / 29)
    share, (low, high) = proportions.clustered_share(hit, cluster)
    assert share == pytest.approx(fit.params[0])
    assert (low, high) == pytest.approx((share - half, share + half), abs=1e-6)


def test_proportions__of_nobody_are_unknown_and_raise_no_warning():
    none, some = proportions.Share(0, 0), proportions.Share(3, 9)
    assert math.isnan(none.value)
    for got in (
        proportions.wilson(none), proportions.difference(none, some),
        proportions.risk_ratio(none, some)[1], proportions.e_value(math.nan, (1.0, 2.0)),
    ):  # fmt: skip
        assert all(math.isnan(x) for x in got)
    assert math.isnan(proportions.two_sided_p(none, some))
    assert math.isnan(proportions.equivalence_p(none, some, margin=0.1))
    assert math.isnan(proportions.minimal_detectable(math.nan, 0, 9))
    assert math.isnan(proportions.power(math.nan, 0.1, 0, 9))


def test_difference__keeps_its_level_where_nothing_is_true():
    rng = np.random.default_rng(8)
    missed, n = 0, 400
    for _ in range(n):
        k = rng.binomial([300, 90], 0.08)
        low, high = proportions.difference(
            proportions.Share(int(k[0]), 300), proportions.Share(int(k[1]), 90)
        )
        missed += not low <= 0 <= high
    # 5 % of 400 is 20 with a standard deviation of 4.4.
    assert missed <= 20 + 3 * 4.4


# The log as it stood ---------------------------------------------------------------------


def test_until__is_deaf_to_the_future():
    rng = np.random.default_rng(2)
    rows = [(int(u), int(g), int(t)) for u, g, t in rng.integers(0, [20, 30, DAYS], (200, 3))]
    early = [row for row in rows if row[2] < 50]
    other = early + [(u, (g + 7) % 30, 99 - t // 3) for u, g, t in rows if t >= 50]
    one, two = (until(make_record(x, n_users=20, n_groups=30).joins, 50) for x in (rows, other))
    assert one.equals(two)
    assert one.time.max() < 50
    assert one.observed_until.max() == 49


# R1, R2 ----------------------------------------------------------------------------------


def _requests(rows) -> Requests:
    user, group, time, source, confirmed = zip(*rows, strict=True)
    return Requests(
        np.array(user, np.int32), np.array(group, np.int32), np.array(time, np.int32),
        np.array([SOURCES.index(s) for s in source], np.uint8), np.array(confirmed),
    )  # fmt: skip


@pytest.fixture
def asking() -> Record:
    # Group 0 is the target, group 1 a gateway. User 0 is in it from day 10, user 1 from 20.
    requests = _requests(
        [
            (0, 0, 5, "gysj", True),  # before the gateway
            (0, 0, 10, "gysj", True),  # on the same day: which came first is unknown
            (0, 0, 11, "gysj", False),
            (0, 0, 60, "search", True),
            (1, 0, 30, "gysj", True),
            (1, 0, 90, "permalink", True),
            (1, 2, 30, "gysj", True),  # no target
            (2, 0, 30, "gysj", True),  # never in a gateway
        ]
    )
    return make_record(
        [(0, 1, 10), (1, 1, 20), (2, 2, 3)], n_users=3, n_groups=3, targets=[0], top=[1],
        requests=requests,
    )  # fmt: skip


def test_join_sources__count_by_hand(asking):
    table = analyses.join_sources(asking)
    assert value(table, "requests") == 4
    assert value(table, "gysj: share of requests") == 0.5
    assert value(table, "search: share of requests") == 0.25
    assert value(table, "all others: share of requests") == 0.25
    assert value(table, "gysj: share of named requests") == pytest.approx(2 / 3)
    assert value(table, "confirmed") == 0.75
    assert value(table, "gysj: confirmed") == 0.5
    assert value(table, "group_mall: confirmed") is None


def test_pathways__belong_to_the_gateway_joined_last_and_of_a_day_to_the_best():
    # Groups 1, 2, 3 are gateways, best first; user 0 joins 2, then 3 and 1 on one day, then 3's
    # neighbour 4, which is none; user 1 joins 3 alone.
    requests = _requests(
        [
            (0, 0, 11, "gysj", True),  # after 2
            (0, 0, 20, "gysj", True),  # on the day of 3 and 1: still after 2
            (0, 0, 21, "search", False),  # after 3 and 1, of which 1 ranks best
            (0, 0, 90, "search", True),  # 4 is no gateway: still 1
            (1, 0, 50, "permalink", True),
            (1, 0, 5, "permalink", True),  # before any gateway: not counted
        ]
    )
    joins = [(0, 2, 10), (0, 3, 20), (0, 1, 20), (0, 4, 80), (1, 3, 6)]
    record = make_record(
        joins, n_users=2, n_groups=5, targets=[0], top=[1, 2, 3], requests=requests
    )
    got = [tuple(row.values()) for row in analyses.pathways(record).to_pylist()]
    expected = [
        ("g000001", "search", 2, 1), ("g000002", "gysj", 2, 2), ("g000003", "permalink", 1, 1),
    ]  # fmt: skip
    assert got == expected


def test_pathways__hold_every_request_of_r1(asking):
    table = analyses.pathways(asking)
    got = pc.sum(table["requests"]).as_py()
    assert got == value(analyses.join_sources(asking), "requests")
    assert pc.sum(table["confirmed"]).as_py() / got == 0.75


def test_pathways__of_nothing_have_no_row():
    record = make_record([(0, 1, 3)], n_users=1, n_groups=2, targets=[0], top=[1])
    assert analyses.pathways(record).num_rows == 0


def test_join_sources__have_the_note_s_shares_beside_them(asking):
    table = analyses.join_sources(asking)
    assert value(table, "gysj: share of requests", "published") == 1_326_540 / 4_805_574
    assert value(table, "confirmed", "published") == pytest.approx(0.869, abs=5e-4)
    parts = [row for row in table.to_pylist() if row["quantity"].endswith(": share of requests")]
    for column in ("published", "simulated"):
        assert sum(row[column] for row in parts) == pytest.approx(1.0)


def test_second_table__compares_shares_confirmed_alone(asking):
    table = analyses.second_table(asking)
    assert table.num_rows == 7
    assert value(table, "search: confirmed") == 1.0
    assert value(table, "search: confirmed", "published") == 29_506 / 35_605
    assert value(table, "permalink: confirmed", "within") is False
    assert value(table, "mobile_add_members: confirmed") is None


# R3 --------------------------------------------------------------------------------------


def test_exposure_contrast__counts_as_the_note_does():
    # Gateway 0, non-rec group 1. Users 0 to 3 join the gateway on day 10.
    joins = [(u, 0, 10) for u in range(4)]
    joins += [(0, 1, 30), (1, 1, 5), (2, 1, 10), (3, 1, 40), (4, 1, 50)]
    record = make_record(
        joins, n_users=6, n_groups=3, top=[0],
        non_rec=np.array([NEVER, 80, NEVER], np.int32),
        exposed=np.array([3, 20, NEVER, NEVER, 5, NEVER], np.int32),
        arms=drawn(6, gysj=[0, 0, 1, 1, 0, 1]),
    )  # fmt: skip
    table = analyses.exposure_contrast(record, horizon=60)
    # Exposed: user 0 (joins after), user 1 (joined before). Without: 2 (same day), 3 (after).
    assert value(table, "observational: risk with GYSJ") == 0.5
    assert value(table, "observational: risk without") == 0.5
    # Everybody by the arm drawn, whenever they joined it: 0, 1, 4 against 2, 3 but not 5.
    assert value(table, "randomised: risk with GYSJ") == 1.0
    assert value(table, "randomised: risk without") == pytest.approx(2 / 3)
    # Of the note's four: 0, 1 had it, 2, 3 were held out; later joins of 0 and 3 count.
    assert value(table, "randomised, gateway members: risk with GYSJ") == 0.5
    assert value(table, "randomised, gateway members: risk without") == 0.5
    gap = value(table, "observational minus randomised: risk difference")
    assert gap == pytest.approx(0.0 - 1 / 3)


def test_exposure_contrast__plans_the_experiment_that_would_have_shown_it():
    """600 of 2,000 and 500 of 2,000: what two equal arms need, worked out with statsmodels."""
    from statsmodels.stats.power import NormalIndPower

    n = 4_000
    held = np.arange(n) >= 2_000
    joins = [(u, 1, 9) for u in (*range(600), *range(2_000, 2_500))]
    record = make_record(
        joins, n_users=n, n_groups=2, non_rec=np.array([NEVER, 50], np.int32),
        arms=drawn(n, gysj=held),
    )  # fmt: skip
    table = analyses.exposure_contrast(record, horizon=20)
    sd, plan = math.sqrt(0.275 * 0.725), NormalIndPower()
    for what, effect in (("the note's difference", 0.1077 - 0.0878),
                         ("the difference by lot", 0.05)):  # fmt: skip
        quantity = f"design: users per arm to find {what} with power 80 %"
        expected = plan.solve_power(effect / sd, alpha=0.05, power=0.8)
        assert value(table, quantity) == pytest.approx(expected, rel=1e-4)
    assert value(table, quantity, "ci_low") < expected < value(table, quantity, "ci_high")
    got = value(table, "design: power of the holdout to find the note's difference")
    assert got == pytest.approx(plan.power(0.0199 / sd, 2_000, 0.05), rel=1e-9)


def test_exposure_contrast__of_a_label_after_the_end_is_no_label():
    record = make_record(
        [(0, 0, 10), (0, 1, 30)], n_users=2, n_groups=2, top=[0],
        non_rec=np.array([NEVER, DAYS], np.int32),
    )  # fmt: skip
    got = value(analyses.exposure_contrast(record, horizon=20), "observational: risk without")
    assert got == 0.0


def _random_follow(seed: int, n: int = 500) -> exposure.Follow:
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 120, n)
    return exposure.Follow(
        np.arange(n), rng.integers(0, 90, n), rng.random(n) < 0.4,
        np.where(rng.random(n) < 0.3, NEVER, at),
    )  # fmt: skip


@pytest.mark.parametrize("exposed", [True, False])
def test_risk_curve__agrees_with_statsmodels_kaplan_meier_with_late_entry(exposed):
    from statsmodels.duration.survfunc import SurvfuncRight

    follow = _random_follow(3)
    if exposed:
        keep = follow.until > follow.exposed_at
        entry, leave = follow.exposed_at[keep], follow.until[keep]
        status = follow.event[keep]
    else:
        leave = np.minimum(follow.until, follow.exposed_at)
        status = (follow.event & (follow.until <= follow.exposed_at))[leave > 0]
        leave = leave[leave > 0]
        entry = np.zeros(len(leave), np.int64)
    oracle = SurvfuncRight(leave, status.astype(int), entry=entry)
    got = exposure.risk_curve(follow, exposed=exposed, days=90)
    day = oracle.surv_times.astype(int)
    assert got.risk[day] == pytest.approx(1 - oracle.surv_prob, abs=1e-12)
    assert got.se[day] == pytest.approx(oracle.surv_prob_se, abs=1e-12)


def test_risk_curve__equals_counting_day_by_day():
    follow = _random_follow(5, n=60)
    for exposed in (True, False):
        got, survival = exposure.risk_curve(follow, exposed=exposed, days=80), 1.0
        for day in range(1, 81):
            state = (follow.exposed_at < day) == exposed
            there = state & (follow.until >= day)
            died = there & follow.event & (follow.until == day)
            assert got.at_risk[day] == there.sum()
            survival *= 1 - (died.sum() / there.sum() if there.any() else 0.0)
            assert got.risk[day] == pytest.approx(1 - survival)


def test_exposure_contrast__immortal_time_fools_the_note_and_not_the_corrected():
    """GYSJ does nothing here, but who stays longer is exposed more and joins more."""
    rng = np.random.default_rng(6)
    n = 20_000
    stay = rng.integers(1, DAYS, n)
    outcome, exposed = rng.exponential(80, n), rng.exponential(30, n)
    joins = [(u, 0, 0) for u in range(n)]
    joins += [(u, 1, 1 + int(outcome[u])) for u in np.flatnonzero(outcome + 1 < stay)]
    record = make_record(
        joins, n_users=n, n_groups=2, top=[0], non_rec=np.array([NEVER, 90], np.int32),
        exposed=np.where(exposed < stay, exposed, NEVER).astype(np.int32),
        arms=drawn(n, gysj=rng.random(n) < 0.5),
    )  # fmt: skip
    log = record.joins
    record = replace(record, joins=replace(log, observed_until=stay.astype(np.int32)))
    table = analyses.exposure_contrast(record, horizon=40)
    got = {row["quantity"]: row for row in table.to_pylist()}
    assert got["observational: risk ratio"]["ci_low"] > 1.5
    for how in ("corrected: risk difference by day 40", "randomised: risk difference"):
        assert got[how]["ci_low"] < 0 < got[how]["ci_high"]


# R4, R5 ----------------------------------------------------------------------------------


def test_invited_members__count_by_hand():
    # Group 0 target, 1 gateway. Receiver 0 in the gateway from day 10; sender 3 is super.
    sent = np.array(
        [
            (2, 0, 0, 5),  # before the receiver joined
            (2, 0, 0, 20),
            (3, 0, 0, 20),
            (3, 1, 0, 20),  # no member
            (3, 0, 2, 20),  # another group
        ]
    ).T.astype(np.int32)
    supers = np.array([False, False, False, True])
    record = make_record(
        [(0, 1, 10), (2, 0, 1)], n_users=4, n_groups=3, targets=[0], top=[1],
        invitations=Invitations(*sent, supers),
    )  # fmt: skip
    table = analyses.invited_members(record)
    reached = "share of invitations to targets that went to gateway members"
    assert value(table, reached) == 0.5
    assert value(table, "invitations to targets that went to gateway members") == 2
    assert value(table, "share of those that super-inviters sent") == 0.5
    assert value(table, "share of all invitations that super-inviters sent") == 0.6
    assert value(table, "share of invitations to other groups that went to gateway members") == 1


def test_invited_members__are_told_apart_by_sender_and_receiver():
    # Group 0 target, 1 gateway. In the gateway: user 0 from day 10, user 2 from day 15.
    sent = np.array(
        [
            (2, 0, 0, 12),  # the sender is no member yet
            (2, 0, 0, 20),
            (2, 1, 0, 20),
            (3, 1, 0, 20),
            (3, 1, 0, 21),
            (2, 1, 2, 20),  # another group
        ]
    ).T.astype(np.int32)
    record = make_record(
        [(0, 1, 10), (2, 1, 15)], n_users=4, n_groups=3, targets=[0], top=[1],
        invitations=Invitations(*sent, np.array([False, False, True, False])),
    )  # fmt: skip
    table = analyses.invited_members(record)
    for how, expected in (
        ("to targets that gateway members sent to gateway members", 0.2),
        ("to targets that gateway members sent to others", 0.2),
        ("to targets that others sent to gateway members", 0.2),
        ("to other groups that gateway members sent to gateway members", 0.0),
        ("to other groups that gateway members sent to others", 1.0),
    ):
        assert value(table, f"share of invitations {how}") == expected
    to_others = "share of invitations to targets and to no gateway member that super-inviters sent"
    assert value(table, to_others) == pytest.approx(1 / 3)
    went = "invitations that went to gateway members"
    assert value(table, f"share of super-inviters' {went}") == 0.5
    assert value(table, f"share of other senders' {went}") == 0.0
    assert value(table, "share of super-inviters' invitations that gateway members sent") == 0.75


# R6, R7 ----------------------------------------------------------------------------------


def test_pymi_holdout__says_equivalent_only_with_enough_users():
    for n, expected in ((400, 0.0), (40_000, 1.0)):
        joins = [(u, 0, 10) for u in range(0, n, 10)]
        record = make_record(
            joins, n_users=n, n_groups=2, non_rec=np.array([20, NEVER], np.int32),
            arms=drawn(n, pymi_featured=np.arange(n) // 10 % 2 == 0),
        )  # fmt: skip
        table = analyses.pymi_holdout(record, margin=0.1)
        assert value(table, "PYMI featured: difference") == 0.0
        quantity = "PYMI featured: equivalent within a ratio of 1.1 (1 = yes)"
        assert value(table, quantity) == expected
        assert value(table, quantity, "within") == bool(expected)


def test_pymi_holdout__is_about_who_is_featured_and_shows_what_came_of_it():
    # Held out: users 2, 3. Invitations to 0, 0, 1, 2; user 0 joins the non-rec group.
    sent = np.array([(5, u, 0, 3) for u in (0, 0, 1, 2)], np.int32).T
    record = make_record(
        [(0, 0, 5)], n_users=4, n_groups=2, non_rec=np.array([20, NEVER], np.int32),
        arms=drawn(4, pymi_featured=[0, 0, 1, 1], pymi=[1, 0, 1, 0]),
        invitations=Invitations(*sent, np.zeros(4, bool)),
    )  # fmt: skip
    table = analyses.pymi_holdout(record, margin=0.1)
    assert value(table, "PYMI featured: test share") == 0.5
    assert value(table, "PYMI featured: control share") == 0.0
    assert value(table, "PYMI featured: invitations received, test over control") == 3.0
    assert value(table, "PYMI shown: control share") == 0.5
    assert value(table, "PYMI shown: difference") == -0.5


def test_pymk_arms__compare_both_sides_by_lot():
    joins = [(0, 0, 5), (2, 0, 5)]
    record = make_record(
        joins, n_users=6, n_groups=2, targets=[0],
        arms=drawn(6, pymk=[1, 1, 1, 1, 0, 0], pymk_featured=[1, 0, 0, 0, 0, 1]),
        featured=np.array([0, 1, 0, 0, 3, 0], np.int32),
        shown=np.array([0, 0, 0, 0, 1, 1], np.int32),
    )  # fmt: skip
    table = analyses.pymk_arms(record, margin=0.1)
    assert value(table, "PYMK shown: test share") == 0.0
    assert value(table, "PYMK shown: control share") == 0.5
    assert value(table, "PYMK featured: test share") == 0.25
    assert value(table, "PYMK featured: control share") == 0.5
    # Friends found, 1, 4, 1 in all: 5 of two users against 1 of four; 5 of four, 1 of two.
    assert value(table, "PYMK shown: friends found, test over control") == 10.0
    assert value(table, "PYMK featured: friends found, test over control") == 2.5


def test_pymk_arms__by_dose_count_whoever_is_outside_the_holdout():
    joins = [(u, 0, 5) for u in (0, 4, 5)]
    held = [1, 1, 0, 0, 0, 0]
    record = make_record(
        joins, n_users=6, n_groups=2, targets=[0], arms=drawn(6, pymk=held, pymk_featured=held),
        shown=np.array([9, 9, 0, 0, 1, 1], np.int32),
        featured=np.array([1, 0, 0, 0, 1, 1], np.int32),
    )  # fmt: skip
    table = analyses.pymk_arms(record, margin=0.1)
    for what, mean in (("shown", 0.5), ("featured", 0.5)):
        assert value(table, f"PYMK {what} by dose: friends found, mean") == mean
        assert value(table, f"PYMK {what} by dose: difference for one more") == 1.0


def test_trend__agrees_with_statsmodels():
    """Least squares with White's covariance; Cochran-Armitage."""
    import statsmodels.api as sm

    rng = np.random.default_rng(8)
    dose = rng.poisson(1.3, 700)
    outcome = rng.random(700) < 0.1 + 0.03 * dose
    slope, interval, p_value = proportions.trend(dose, outcome)
    fit = sm.OLS(outcome.astype(float), sm.add_constant(dose)).fit(cov_type="HC0")
    assert slope == pytest.approx(fit.params[1])
    assert interval == pytest.approx(tuple(fit.conf_int()[1]))
    table = np.array([[((dose == d) & (outcome == y)).sum() for d in range(dose.max() + 1)]
                      for y in (True, False)])  # fmt: skip
    expected = sm.stats.Table(table.T, shift_zeros=False).test_ordinal_association(
        row_scores=np.arange(dose.max() + 1)
    )
    # statsmodels divides by n - 1 where Armitage's formula has n.
    assert p_value == pytest.approx(expected.pvalue, rel=0.02)


def test_trend__without_spread_is_unknown():
    same, one = np.ones(5, int), np.array([True, False, True, False, False])
    assert np.isnan(proportions.trend(same, one)[0])
    slope, _, p_value = proportions.trend(np.arange(5), np.zeros(5, bool))
    assert slope == 0.0
    assert np.isnan(p_value)


# R8 --------------------------------------------------------------------------------------


def _sized(sizes) -> list[tuple[int, int, int]]:
    return [(u, g, 1) for g, size in enumerate(sizes) for u in range(size)]


def test_labelled_gateways__count_by_hand():
    # Two top groups of 8 and 3 members; label of the first after the workflow (day 50).
    sizes = [8, 3, 9, 7, 6, 2, 1, 1, 5]
    day = np.array([70, 20, 60, NEVER, DAYS, NEVER, NEVER, NEVER, 10], np.int32)
    record = make_record(_sized(sizes), n_users=9, n_groups=9, targets=[8], top=[0, 1], non_rec=day)
    assert group_labels.matched(record).tolist() == [2, 3, 4, 5, 6, 7]
    excess, (low, high) = group_labels.matched_excess(record)
    assert excess == pytest.approx(1 - 1 / 6)
    assert low < excess < high
    table = analyses.labelled_gateways(record)
    assert value(table, "of them labelled non-rec") == 2
    assert value(table, "of these labelled after the workflow ran") == 1
    base = "base rate: share labelled of all other ranked groups"
    assert value(table, base) == pytest.approx(1 / 6)
    assert value(table, "share labelled: controls after it") == pytest.approx(1 / 6)
    assert value(table, "days from the workflow to the label: median (quartiles)") == 20


def test_matched__are_of_the_topic_and_may_run_out():
    topic = np.array([0, 1, 0, 0, 1, 1, 1, 1], np.int16)
    record = make_record(
        _sized([9, 5, 1, 2, 9, 4, 7, 5]), n_users=9, n_groups=8, top=[0, 1], topic=topic
    )
    assert group_labels.matched(record).tolist() == [3, 2, 7, 5, 6]


def test_matched__uses_sizes_of_the_workflow_day_and_each_group_once():
    sizes = [5, 5, 5, 4, 6, 5, 5, 5]
    late = [(u, 3, 80) for u in range(4, 40)]
    record = make_record(_sized(sizes) + late, n_users=40, n_groups=8, top=[0, 1])
    got = group_labels.matched(record).tolist()
    assert sorted(got) == [2, 3, 4, 5, 6, 7]
    assert got[:3] == [2, 5, 6]


def test_label_times__end_where_the_table_begins():
    day = np.array([70, 20, 60, NEVER, DAYS, 0], np.int32)
    record = make_record(_sized([4] * 6), n_users=4, n_groups=6, top=[0, 1], non_rec=day)
    table = analyses.label_times(record)
    last = table.filter(pc.equal(table["day"], DAYS - 1)).to_pylist()
    assert {row["groups"]: (row["labelled"], row["n"]) for row in last} == {
        "top": (2, 2), "controls": (2, 4), "others": (2, 4),
    }  # fmt: skip


def test_labelled_gateways__keep_their_level_where_labels_fall_anyhow():
    """Labels by size alone: top groups differ from all others, and not from their controls."""
    rng = np.random.default_rng(1)
    missed, worlds = 0, 40
    for _ in range(worlds):
        size = np.sort(rng.integers(1, 60, 500))[::-1]
        given = rng.random(500) < size / 120
        record = make_record(
            _sized(size), n_users=60, n_groups=500, top=np.arange(0, 200, 8),
            non_rec=np.where(given, 60, NEVER).astype(np.int32),
        )  # fmt: skip
        rows = analyses.labelled_gateways(record).to_pylist()
        gap = "share labelled: top minus matched controls"
        (row,) = [row for row in rows if row["quantity"] == gap]
        missed += not row["ci_low"] <= 0 <= row["ci_high"]
    # 5 % of 40 is 2 with a standard deviation of 1.4.
    assert missed <= 2 + 3 * 1.4


# R9 --------------------------------------------------------------------------------------


def _signals_record(seed: int) -> Record:
    rng = np.random.default_rng(seed)
    joins = [(int(u), int(g), 3) for u, g in rng.integers(0, [80, 40], (600, 2))]
    label = np.where(rng.random((3, 40)) < 0.4, 30, NEVER).astype(np.int32)
    strikes = rng.poisson(3, (40, 2))
    return make_record(
        joins, n_users=80, n_groups=40, targets=[0, 1], score=rng.random(40),
        non_rec=label[0], non_amp=label[1], demoted=label[2], strikes=strikes,
        severe=rng.binomial(strikes, 0.3), demotion=rng.random(40),
        flagged=np.where(rng.random(80) < 0.3, 20, NEVER).astype(np.int32),
    )  # fmt: skip


def test_signal_correlations__agree_with_pandas():
    import pandas as pd

    record = _signals_record(3)
    frame = pd.DataFrame(analyses.group_signals(record))
    table = analyses.signal_correlations(record)
    for kind in ("pearson", "spearman"):
        expected = frame.corr(kind)
        for a in expected:
            for b in expected:
                quantity = f"{a} and {b}: {kind}"
                if quantity in table["quantity"].to_pylist():
                    assert value(table, quantity) == pytest.approx(expected.loc[a, b])
    assert table.num_rows == 2 * 21


def test_group_signals__count_labelled_members_and_hold_the_score_of_the_review():
    joins = [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)]
    record = make_record(
        joins, n_users=3, n_groups=3, flagged=np.array([9, NEVER, DAYS], np.int32),
        demoted=np.array([NEVER, 30, DAYS], np.int32), demotion=np.array([0.0, 0.7, 0.4]),
    )  # fmt: skip
    signals = analyses.group_signals(record)
    # User 2 is labelled after the end.
    assert signals["num_nr_members"].tolist() == [1, 1, 0]
    assert signals["group_demote"].tolist() == [0.0, 0.7, 0.0]


def test_signal_correlations__judge_every_cell_that_can_be_read():
    rows = analyses.signal_correlations(_signals_record(3)).to_pylist()
    judged = {row["quantity"] for row in rows if row["tolerance"] is not None}
    assert judged == {f"{a} and {b}: pearson" for a, b in CORRELATIONS}
    assert len(judged) == 15


def test_signal_correlations__of_a_signal_without_spread_are_unknown():
    record = replace(_signals_record(3), non_rec=np.full(40, NEVER, np.int32))
    table = analyses.signal_correlations(record)
    assert value(table, "gateway_score and non_rec: pearson") is None


def test_signal_correlations__keep_their_level_where_nothing_goes_along():
    from gateway.analyses.group_labels import _rows

    rng = np.random.default_rng(7)
    missed, pair = 0, ("gateway_score", "non_rec")
    for _ in range(200):
        signals = {pair[0]: rng.exponential(size=60), pair[1]: (rng.random(60) < 0.3) * 1.0}
        pearson, spearman = _rows(signals, pair)
        missed += not pearson.interval[0] <= 0 <= pearson.interval[1]
        missed += not spearman.interval[0] <= 0 <= spearman.interval[1]
    # 5 % of 400 is 20; pairs of coefficients go along, so at most twice the variance.
    assert missed <= 20 + 3 * 6.2


# R10 -------------------------------------------------------------------------------------


def _entities_record(seed: int, *, drawn: float) -> Record:
    """Groups whose label follows, with weight ``drawn``, how many members a gateway sent."""
    rng = np.random.default_rng(seed)
    n_users, n_groups = 1_500, 400
    joins = [(u, 0, 0) for u in range(500)]
    risky = rng.random(n_groups) < 0.3
    for g in range(1, n_groups):
        pool = 500 if risky[g] else n_users
        joins += [(int(u), g, int(rng.integers(1, 50))) for u in rng.integers(0, pool, 15)]
    p = 0.1 + drawn * risky
    when = rng.integers(50, DAYS, n_groups)
    return make_record(
        joins, n_users=n_users, n_groups=n_groups, top=[0],
        non_rec=np.where(rng.random(n_groups) < p, when, NEVER).astype(np.int32),
    )  # fmt: skip


def test_entity_model__finds_what_gateways_add_and_nothing_where_they_add_nothing(
    monkeypatch,
):
    name = "non-rec: average precision: gain"
    monkeypatch.setattr(entities, "DRAWS", 60)
    found = analyses.entity_model(_entities_record(1, drawn=0.7), precision=0.5, seed=1)
    assert value(found, name, "ci_low") > 0.05
    none = analyses.entity_model(_entities_record(1, drawn=0.0), precision=0.5, seed=1)
    # Noise that the penalty lets through moves the measure a little either way.
    assert abs(value(none, name)) < 0.05
    assert value(none, name, "ci_low") < 0.02
    assert value(none, name, "ci_high") > -0.02


def test_examples__are_deaf_to_the_future_and_ask_only_about_the_unlabelled():
    record = _entities_record(2, drawn=0.5)
    strikes = record.strikes.copy()
    strikes[:, 1] += 99
    rows = np.column_stack([record.joins.user(), record.joins.group, record.joins.time])
    more = [*map(tuple, rows), *((u, 3, 80) for u in range(900, 940))]
    other = make_record(
        more, n_users=1_500, n_groups=400, top=[0], strikes=strikes, non_rec=record.non_rec,
        demoted=np.full(400, 75, np.int32),
    )  # fmt: skip
    one, two = (entities.examples(r, 75, 90) for r in (record, other))
    assert np.array_equal(one.plain, two.plain)
    assert (one.gateways != two.gateways).nnz == 0
    assert (record.non_rec[one.group] >= 75).all()
    assert np.array_equal(one.label, record.non_rec[one.group] < 90)


def test_examples__of_non_amp_ask_about_that_label_and_know_the_other():
    record = replace(_entities_record(2, drawn=0.5), non_amp=np.full(400, 80, np.int32))
    asked = entities.examples(record, 75, 90, label="non_amp")
    assert asked.label.all()
    assert (record.non_rec[asked.group] < 75).any()
    np.testing.assert_array_equal(asked.plain[:, -1], record.non_rec[asked.group] < 75)


def test_gateway_shares__count_members_who_came_from_there():
    joins = [(0, 0, 1), (1, 0, 5), (2, 0, 9), (3, 1, 9)]
    joins += [(u, 1, 5) for u in range(3)] + [(4, 1, 5)]
    record = make_record(joins, n_users=5, n_groups=2, top=[0])
    # Of five members of group 1 only user 0 had joined group 0 earlier; user 1 on that day.
    got = entities.examples(record, 50, DAYS)
    assert got.group.tolist() == [1]
    assert got.gateways.toarray().tolist() == [[0.2]]


def test_recall_at_precision__agrees_with_trying_every_threshold():
    rng = np.random.default_rng(9)
    label, p = rng.random(60) < 0.3, np.round(rng.random(60), 1)
    for precision in (0.2, 0.4, 0.9):
        expected = 0.0
        for cut in np.unique(p):
            called = p >= cut
            if label[called].mean() >= precision:
                expected = max(expected, label[called].sum() / label.sum())
        assert entities.recall_at_precision(label, p, precision=precision) == expected


# Everything ------------------------------------------------------------------------------


def test_analyses__of_an_empty_platform_say_unknown_without_a_warning():
    record = make_record([(0, 0, 1), (1, 1, 2)], n_users=3, n_groups=4, targets=[3], top=[0])
    options = parse_config(NOTE).note
    table = analyses.analyse_note(record, options, seed=1)["comparison"]
    assert set(table["id"].to_pylist()) == {f"R{i}" for i in range(1, 11)}
    assert value(table, "gysj: confirmed") is None


def test_sources__default_weights_are_the_note_s_requests():
    shares = dict.fromkeys(Mechanism, 0.25)
    ends = cumulative_weights(shares, {})
    got = np.diff(ends, prepend=0.0)
    for how in Mechanism:
        rows = [i for i, row in enumerate(SOURCE_TABLE) if row.mechanism == how]
        requests = np.array([SOURCE_TABLE[i].requests for i in rows])
        assert got[rows] == pytest.approx(0.25 * requests / requests.sum())
    given = cumulative_weights(shares, {"search": 3 * 247_682.0})
    i = [row.name for row in SOURCE_TABLE].index("search")
    expected = 0.25 * 3 * 247_682 / (1_395_287 + 2 * 247_682)
    assert np.diff(given, prepend=0.0)[i] == pytest.approx(expected)


NOTE = """
experiment.name = "note"
[world]
start = 2020-01-01
[targets]
country = "US"
kind = "nudity"
month = "2020-05"
min_strikes = 60
[note]
workflow_day = 152
"""


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("note.workflow_day=152", None),
        ("note.workflow_day=151", "must not be before the end of targets.month"),
        ("targets.month=2020-12", "must not be before the end of targets.month"),
        ("note.workflow_day=540", "must be less than world.days"),
    ],
)
def test_rules__of_the_note_hold_up_to_their_bound(override, rule):
    if rule is None:
        assert parse_config(NOTE, overrides=[override]).note is not None
        return
    with pytest.raises(ConfigError, match=rule):
        parse_config(NOTE, overrides=[override])


SMALL_NOTE = ("note.workflow_day=152", "note.top=15")


@pytest.mark.compiled
def test_run__stores_the_analyses_of_gateways_found_before_the_workflow_s_day(tmp_path):
    from gateway.pipeline import execute, obtain_inputs

    config = small_config(*SMALL_NOTE)
    result = execute(config, folder=tmp_path / "a")
    assert {"analyses/comparison", "analyses/label_times", "analyses/pathways"} <= set(
        result.table_names
    )
    platform = obtain_inputs(config)
    seen = until(platform.joins, 152)
    scores = score_joins(seen, platform.targets, horizon=60, seed=5)
    found = detect_spikes(seen, platform.targets, scores, options=config.spike)
    assert result.table("gateways").equals(found.to_arrow())
    again = execute(config, folder=tmp_path / "b", n_threads=1)
    assert compare_results(result, open_result(again.folder)) == ()
    assert "analyses/comparison.parquet" in result.digests()


@pytest.mark.compiled
def test_record__of_a_history_agrees_with_its_tables():
    config = small_config(*SMALL_NOTE)
    history = live_through(draw_world(config))
    joins = history.joins()
    targets = TargetSet(np.arange(joins.n_groups) < 5, "five")
    seen = until(joins, 152)
    found = detect_spikes(seen, targets, score_joins(seen, targets, horizon=60, seed=5))
    record = analyses.record_of(history, joins, targets, found, workflow_day=152, top=15)
    table = history.requests()
    assert record.requests.time.tolist() == table["time"].to_pylist()
    names = [SOURCES[code] for code in record.requests.source]
    assert names == table["source"].to_pylist()
    assert record.requests.confirmed.tolist() == table["confirmed"].to_pylist()
    assert record.invitations.time.tolist() == history.invitations.to_arrow()["time"].to_pylist()
    assert (record.shown + record.featured).tolist() == history.stage.users.found.tolist()
    assert record.shown.sum() > 0
    assert not record.shown[record.arms.pymk].any()
    assert record.featured[record.arms.pymk].any()
    best = found.to_arrow()["group"].to_pylist()[:15]
    top = joins.groups.take(pa.array(record.top)).to_pylist()
    by_rank = dict(zip(found.groups.to_pylist(), found.rank.tolist(), strict=True))
    assert [by_rank[g] for g in top] == [by_rank[g] for g in best]


@pytest.mark.compiled
def test_target_mix__of_one_leaves_no_way_in_for_the_uninterested():
    world = draw_world(small_config("world.roles.target_mix=1.0"))
    targets = world.groups.mix[world.groups.role == 1]
    assert (targets.max(axis=1) == 1.0).all()
