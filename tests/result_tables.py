"""Stored tables of a run that never happened, in realistic sizes, for figures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats
from sklearn.metrics import average_precision_score

from gateway.analyses.group_labels import LABEL_TIMES_SCHEMA
from gateway.analyses.join_sources import PATHWAYS_SCHEMA
from gateway.analyses.published import CORRELATIONS, SIGNALS, SOURCES_EVER, Row, compare
from tests.study_tables import (
    benchmark_table,
    dose_table,
    event_study_table,
    lines_table,
    phase_table,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "$\\frac$ and $x",
    "a_b^c & \"quoted\" 'twice'",
    "party 🎉🏳️‍🌈 日本語グループ",
    "קבוצה \u202eשלום العربية",
    "long " + "name " * 59,
    "two\nlines\tand\x07bell\x1b[31m",
    "</style></svg><img src=x onerror=alert(2)>",
    "=1+1",
    "\u0301\u200b",
    "",
)
"""Names that strangers gave to their groups. The empty one comes last."""

ROLE_COUNTS = {"influence": 40, "homophily": 40, "hub": 20, "target": 60}
LIFT = {"influence": 0.10, "homophily": 0.13, "hub": 0.01, "ordinary": 0.0}
COUNTRIES = ("US", "GB", "BR", "IN")


def result_tables(
    *,
    truth: bool = True,
    names: Sequence[str] = (),
    n_groups: int = 1_200,
    n_panels: int = 4,
    seed: int = 7,
) -> dict[str, pa.Table]:
    """Build every stored table of a result.

    ``names`` replace the names of the top groups, of the target groups that end a curve
    and of the users, so that each figure has to draw each of them.
    """
    rng = np.random.default_rng(seed)
    groups = _groups(rng, n_groups=n_groups, truth=truth, names=names)
    gateways = _gateways(rng, groups)
    tables = {
        "groups": groups.drop_columns(["true_role"]),
        "gateways": gateways,
        "evaluation": _evaluation(groups, gateways, truth=truth),
        "curves": _curves(rng, groups, gateways, n_panels=n_panels, names=names),
        "reliability": _reliability(rng),
        "summary": _summary(groups, gateways, truth=truth),
        "event_study": event_study_table(rng, truth=truth),
    }
    if truth:
        tables["strikes"] = _strikes(groups)
        tables["truth"] = _truth(rng, groups)
        tables["benchmark"] = benchmark_table(rng)
        tables["phase_diagram"] = phase_table(rng)
        tables["sweep_lines"] = lines_table(rng)
        tables["dose_response"] = dose_table(rng)
        tables |= _interventions(rng, names)
        tables["analyses/comparison"] = _comparison()
        tables["analyses/label_times"] = _label_times()
        tables["analyses/pathways"] = _pathways(gateways)
    return tables


def with_rivals(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Add a second detector, which ranks the same groups by T and knows no jumps."""
    gateways = tables["gateways"]
    n = gateways.num_rows
    rank = stats.rankdata(-gateways["statistic"].to_numpy(), method="min").astype(np.int32)
    rival = gateways.set_column(0, "detector", pa.array(["self_controlled"] * n))
    changes = {
        "score": gateways["statistic"],
        "rank": pa.array(rank),
        "mean_jump": pa.nulls(n, pa.float64()),
        "n_events": pa.nulls(n, pa.int64()),
        "estimate": pc.exp(pc.multiply(gateways["estimate"], 10.0)),
        "ci_low": pc.exp(pc.multiply(gateways["ci_low"], 10.0)),
        "ci_high": pc.exp(pc.multiply(gateways["ci_high"], 10.0)),
    }
    for name, column in changes.items():
        rival = rival.set_column(rival.schema.get_field_index(name), name, column)
    rows = [
        {**row, "detector": "self_controlled", "value": 0.9}
        for row in tables["evaluation"].to_pylist()
        if row["detector"] == "spike"
    ]
    more = pa.Table.from_pylist(rows, schema=tables["evaluation"].schema)
    return {
        **tables,
        "gateways": pa.concat_tables([gateways, rival]),
        "evaluation": pa.concat_tables([tables["evaluation"], more]),
    }


def claim_tables() -> dict[str, pa.Table]:
    """Return what the analyses of the note store, two tables of three claims."""
    names = ("id", "quantity", "published", "simulated", "ci_low", "ci_high", "unit")
    sources = [
        ("R1", "gysj, requests", 1_326_540.0, 1_300_000.0, None, None, "count"),
        ("R1", "gysj, confirmed", 0.930, 0.921, 0.915, 0.927, "share"),
    ]
    others = [
        ("R10", "recall <b>at</b> 0.9", None, 0.41, 0.39, 0.44, None),
        ("R3", "exposed", 0.1077, 0.1101, 0.1018, 0.1182, "share"),
    ]
    return {
        f"analyses/{name}": pa.Table.from_pylist(
            [dict(zip(names, row, strict=True)) for row in rows],
            schema=pa.schema(
                [(n, pa.string() if n in ("id", "quantity", "unit") else pa.float64())
                 for n in names]
            ),
        )
        for name, rows in (("sources", sources), ("others", others))
    }  # fmt: skip


def _comparison() -> pa.Table:
    """Published numbers of R1, R3 and R9, each with a simulated one nearby."""
    total = sum(row.requests for row in SOURCES_EVER)
    shares = [(row.source, row.requests / total) for row in SOURCES_EVER if row.source]
    shares.append(("all others", 1 - sum(share for _, share in shares)))
    rows = [Row("R1", "requests", 2_713.0, published=float(total))]
    for name, share in shares:
        near = 0.9 * share + 0.01
        rows.append(
            Row("R1", f"{name}: share of requests", near, (near - 0.01, near + 0.01), share)
        )
    for how, gap in (
        ("observational", 0.03),
        ("corrected", 0.02),
        ("randomised", 0.004),
        ("randomised, gateway members", 0.006),
    ):
        name = f"{how}: risk difference" + (" by day 180" if how == "corrected" else "")
        published = 0.0199 if how == "observational" else None
        rows.append(Row("R3", name, gap, (gap - 0.012, gap + 0.012), published))
    for number, pair in enumerate(combinations(SIGNALS, 2)):
        name, r = f"{pair[0]} and {pair[1]}", 0.9 - 0.06 * number
        rows.append(Row("R9", f"{name}: pearson", r, published=CORRELATIONS.get(pair)))
        rows.append(Row("R9", f"{name}: spearman", -r))
    return compare(rows)


def _label_times() -> pa.Table:
    """Labels that come evenly, from a day on."""
    parts = []
    for name, n, rate in (("top", 100, 0.12), ("controls", 300, 0.1), ("others", 1_900, 0.4)):
        day = np.arange(540)
        labelled = np.minimum(n, np.maximum(0, day - 150) * rate).astype(np.int64)
        columns = ([name] * 540, day, labelled, [n] * 540, [304] * 540)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, LABEL_TIMES_SCHEMA, strict=True)]
        parts.append(pa.table(arrays, schema=LABEL_TIMES_SCHEMA))
    return pa.concat_tables(parts)


def _pathways(gateways: pa.Table) -> pa.Table:
    """Requests after each of the first thirty groups, by three sources and then by one."""
    rows = [
        (group, source, requests, requests - requests // divisor)
        for i, group in enumerate(gateways.slice(0, 30)["group"].to_pylist())
        for source, requests, divisor in (("gysj", 60 - i, 9), ("search", 40 - i, 4),
                                          ("permalink", i % 3, 2))
        if requests
    ]  # fmt: skip
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, PATHWAYS_SCHEMA, strict=True)]
    return pa.table(arrays, schema=PATHWAYS_SCHEMA)


def _groups(
    rng: np.random.Generator, *, n_groups: int, truth: bool, names: Sequence[str]
) -> pa.Table:
    roles = [role for role, count in ROLE_COUNTS.items() for _ in range(count)]
    roles += ["ordinary"] * (n_groups - len(roles))
    size = np.maximum(1, rng.lognormal(4.2, 1.4, n_groups)).astype(np.int64)
    size[[role in ("influence", "homophily") for role in roles]] *= 4
    size[[role == "hub" for role in roles]] *= 30
    name = [f"group {i:05d}" for i in range(n_groups)]
    size[: len(names)] = 900
    n_marked = min(len(names), ROLE_COUNTS["influence"])
    name[:n_marked] = names[:n_marked]
    is_target = np.array([role == "target" for role in roles]) & (rng.random(n_groups) < 0.5)
    missing = [None] * n_groups
    return pa.table(
        {
            "group": pa.array(name, pa.string()),
            "role": roles if truth else ["unknown"] * n_groups,
            "true_role": roles,
            "mechanism": pa.array(
                ["influence" if truth and r == "influence" else None for r in roles], pa.string()
            ),
            "strength": pa.array(
                [1.4 if truth and r == "influence" else None for r in roles], pa.float64()
            ),
            "topic": pa.array(rng.integers(0, 20, n_groups) if truth else missing, pa.int16()),
            "country": pa.array(
                rng.choice(COUNTRIES, n_groups).tolist() if truth else missing, pa.string()
            ),
            "created": pa.array(rng.integers(0, 90, n_groups) if truth else missing, pa.int32()),
            "size": size,
            "is_target": is_target,
            "strikes": pa.array(
                rng.poisson(np.where(is_target, 150, 0)) if truth else missing, pa.int64()
            ),
        }
    )


def _gateways(rng: np.random.Generator, groups: pa.Table) -> pa.Table:
    """Rows of the spike detector; a log without truth has the same effects, unlabelled."""
    rows = groups.filter([not target for target in groups["is_target"].to_pylist()])
    n = rows.num_rows
    n_joiners = np.maximum(1, rows["size"].to_numpy() * 0.9).astype(np.int64)
    lift = np.array([LIFT.get(role, 0.0) for role in rows["true_role"].to_pylist()])
    share = rng.beta(2.0, 38.0, n) + lift * rng.uniform(0.2, 1.8, n)
    named = np.array(["group" not in name for name in rows["group"].to_pylist()])
    share[named] += 0.35
    n_events = rng.binomial(n_joiners, np.minimum(share, 0.9))
    posterior = stats.beta(2.0 + n_events, 38.0 + n_joiners - n_events)
    score = posterior.mean()
    statistic = rng.normal(lift * 30, 1.0)
    p_value = stats.norm.sf(statistic)
    q_value = stats.false_discovery_control(p_value)
    ranked = n_joiners >= 20
    rank = np.where(ranked, stats.rankdata(np.where(ranked, -score, 0.0), method="min"), 0)
    jump = rng.normal(0.01, 0.005, n) + lift / 5
    effect, half = rng.normal(0.0, 0.01, n) + lift / 4, 0.4 / np.sqrt(n_joiners)
    table = pa.table(
        {
            "detector": ["spike"] * n,
            "group": rows["group"],
            "score": score,
            "estimate": effect,
            "ci_low": effect - half,
            "ci_high": effect + half,
            "p_value": p_value,
            "q_value": q_value,
            "n_joiners": n_joiners,
            "n_events": n_events.astype(np.int64),
            "flagged": ranked & (q_value < 0.05),
            "level_held": np.full(n, True),
            "rank": pa.array(rank, pa.int32(), mask=~ranked),
            "mean_jump": jump,
            "realised_effect": pa.array(effect, mask=n_joiners < 3),
            "statistic": statistic,
            "n_resolved": n_joiners,
        }
    )
    order = [("detector", "ascending"), ("rank", "ascending"), ("group", "ascending")]
    return table.sort_by(order)


def _evaluation(groups: pa.Table, gateways: pa.Table, *, truth: bool) -> pa.Table:
    scorer = [
        ("auc", 0.8431, 0.8352, 0.8507),
        ("log_loss", 0.10423, 0.1017, 0.1068),
        ("brier", 0.02651, 0.0258, 0.0273),
        ("base_rate", 0.03121, None, None),
        ("n_rows", 612_345.0, None, None),
        ("auc_without_groups", 0.6202, 0.6101, 0.6303),
        ("auc_joins_so_far", 0.5702, 0.5601, 0.5803),
        ("auc_last_group", 0.7102, 0.7001, 0.7203),
    ]
    rows = [("scorer:logistic", "outcome", *row) for row in scorer]
    if truth:
        rows += [("spike", "planted", *row) for row in _planted(groups, gateways)]
    names = ("detector", "truth", "metric", "value", "ci_low", "ci_high")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    bounds = {key: pa.array(columns.pop(key), pa.float64()) for key in ("ci_low", "ci_high")}
    return pa.table({key: list(values) for key, values in columns.items()} | bounds)


def _planted(
    groups: pa.Table, gateways: pa.Table
) -> list[tuple[str, float, float | None, float | None]]:
    role_of = dict(zip(groups["group"].to_pylist(), groups["role"].to_pylist(), strict=True))
    roles = np.array([role_of[group] for group in gateways["group"].to_pylist()])
    rank = np.nan_to_num(gateways["rank"].to_numpy(zero_copy_only=False), nan=1e9)
    planted = roles == "influence"
    precision = float(average_precision_score(planted, -rank))
    rows: list[tuple[str, float, float | None, float | None]] = [
        ("average_precision", precision, precision - 0.07, precision + 0.08),
        ("spearman_strength", 0.31, None, None),
    ]
    for k in (50, 100):
        top = roles[:k]
        hits = float(np.mean(top == "influence"))
        rows += [
            (f"precision_at_{k}", hits, max(0.0, hits - 0.1), hits + 0.1),
            (f"recall_at_{k}", float(np.sum(top == "influence") / planted.sum()), 0.2, 0.6),
        ]
        rows += [
            (f"share_{role}_at_{k}", float(np.mean(top == role)), None, None)
            for role in ("homophily", "hub", "ordinary", "target")
        ]
    return rows


def _curves(
    rng: np.random.Generator,
    groups: pa.Table,
    gateways: pa.Table,
    *,
    n_panels: int,
    names: Sequence[str],
) -> pa.Table:
    role_of = dict(zip(groups["group"].to_pylist(), groups["role"].to_pylist(), strict=True))
    flagged = [
        group
        for group, flag in zip(
            gateways["group"].to_pylist(), gateways["flagged"].to_pylist(), strict=True
        )
        if flag
    ]
    targets = groups.filter(groups["is_target"])["group"].to_pylist()
    others = gateways["group"].to_pylist()[200:]
    rows = []
    for panel in range(n_panels):
        n, level, time = int(rng.integers(6, 22)), 0.0312, 0
        jump_at = int(rng.integers(2, n - 1))
        user = names[panel % len(names)] if names else f"user {int(rng.integers(50_000)):06d}"
        for position in range(1, n + 1):
            time += int(rng.integers(1, 20))
            is_jump = position == jump_at
            other = others[int(rng.integers(len(others)))]
            group = flagged[panel % len(flagged)] if is_jump else other
            after = level * float(rng.uniform(0.8, 1.25))
            after = min(0.6, level + 0.08 + 0.1 * rng.random()) if is_jump else min(after, 0.7)
            ends = position == n
            rows.append(
                {
                    "panel": panel,
                    "user": user,
                    "position": position,
                    "time": time,
                    "group": targets[panel % len(targets)] if ends else group,
                    "role": role_of[targets[0] if ends else group],
                    "before": None if ends else level,
                    "after": None if ends else after,
                    "spike": not ends and after - level > 0.015,
                    "is_target": ends,
                    "is_gateway": is_jump,
                }
            )
            level = level if ends else after
    schema = pa.schema(
        [
            ("panel", pa.int32()),
            ("user", pa.string()),
            ("position", pa.int32()),
            ("time", pa.int32()),
            ("group", pa.string()),
            ("role", pa.string()),
            ("before", pa.float64()),
            ("after", pa.float64()),
            ("spike", pa.bool_()),
            ("is_target", pa.bool_()),
            ("is_gateway", pa.bool_()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _reliability(rng: np.random.Generator) -> pa.Table:
    """Ten bins of equal width, the low ones far fuller: a rare outcome looks like that."""
    predicted = np.array([0.021, 0.068, 0.121, 0.172, 0.223, 0.271, 0.324, 0.371, 0.422, 0.489])
    n = np.array([402_113, 121_009, 45_880, 20_412, 11_377, 5_903, 2_870, 1_411, 704, 166])
    hits = rng.binomial(n, predicted * 0.93)
    interval = [
        stats.binomtest(int(k), int(m)).proportion_ci(method="wilson")
        for k, m in zip(hits, n, strict=True)
    ]
    return pa.table(
        {
            "bin": pa.array(range(10), pa.int32()),
            "n": n.astype(np.int64),
            "predicted": predicted,
            "observed": hits / n,
            "ci_low": [low for low, _ in interval],
            "ci_high": [high for _, high in interval],
        }
    )


def _truth(rng: np.random.Generator, groups: pa.Table) -> pa.Table:
    """Return direct effects: gateways send, nobody else does; targets have none."""
    role = np.array(groups["true_role"].to_pylist())
    n = groups["size"].to_numpy()
    error = 0.5 / np.sqrt(n)
    effect = np.where(role == "influence", 0.1, 0.0) + error * rng.standard_normal(len(n))
    is_target = groups["is_target"].to_numpy(zero_copy_only=False)
    return pa.table(
        {
            "group": groups["group"],
            "planted": pa.array(role == "influence"),
            "direct_effect": pa.array(effect, mask=is_target),
            "direct_se": pa.array(error, mask=is_target | (n < 2)),
            "n_joins": pa.array(n),
        }
    )


def _strikes(groups: pa.Table) -> pa.Table:
    struck = groups.filter(groups["is_target"])
    return pa.table(
        {
            "group": struck["group"],
            "month": ["2020-03"] * struck.num_rows,
            "kind": ["nudity"] * struck.num_rows,
            "strikes": struck["strikes"],
        }
    )


MECHANISMS = {
    "gysj": "recommendation",
    "newsfeed_story_header": "friends",
    "mobile_add_members": "invitation",
    "search": "intent",
}
ARMS = {
    "filter: planted gateways": 400.0,
    "filter: look-alikes": 30.0,
    "invite cap": -15.0,
    "all four": 650.0,
}


def _interventions(rng: np.random.Generator, names: Sequence[str]) -> dict[str, pa.Table]:
    """Arms of all sizes, one that averts nothing; strangers may have named them."""
    arms = dict(zip([*names, *list(ARMS)][: len(ARMS)], ARMS.values(), strict=True))
    rows = [_arm(name, averted, 40.0 + rng.random()) for name, averted in arms.items()]
    sources = [
        {"arm": name, "source": source, "mechanism": mechanism, "kind": kind, "factual": 3_000,
         "otherwise": 3_000 - int(averted * part) if kind == "target" else 3_000}
        for name, averted in arms.items()
        for kind in ("target", "harmful", "benign")
        for (source, mechanism), part in zip(
            MECHANISMS.items(), (0.9, 0.2, 0.1, -0.2), strict=True)
    ]  # fmt: skip
    return {
        "interventions": pa.Table.from_pylist(rows),
        "intervention_sources": pa.Table.from_pylist(sources),
    }


def _arm(name: str, averted: float, half: float) -> dict[str, Any]:
    cost = 3.0 if averted > 0 else None
    known = averted > half
    return {
        "arm": name, "acts": f"gysj seed filter on {name} (40) from day 180", "first_day": 180,
        "n_groups": 40, "target_joins": 12_000, "benign_joins": 500_000, "averted": averted,
        "averted_low": averted - half, "averted_high": averted + half,
        "share_averted": averted / 12_000, "share_averted_low": (averted - half) / 12_000,
        "share_averted_high": (averted + half) / 12_000, "benign_lost": 3.0 * averted,
        "benign_lost_low": 3.0 * averted - 9 * half, "benign_lost_high": 3.0 * averted + 9 * half,
        "cost": cost, "cost_low": 2.5 if known else None, "cost_high": 3.5 if known else None,
        "harmful_averted": 4, "n_diverged": 9_000, "share_diverged": 0.18,
    }  # fmt: skip


def _summary(groups: pa.Table, gateways: pa.Table, *, truth: bool) -> pa.Table:
    n_targets = sum(groups["is_target"].to_pylist())
    rule = "groups based in US with at least 60 strikes for nudity in 2020-03"
    values = {
        "experiment": "quickstart" if truth else "meetup",
        "n_users": "50000" if truth else "24631",
        "n_groups": str(groups.num_rows),
        "n_joins": "612345" if truth else "45583",
        "tick": "day",
        "span": "2020-01-01 to 2021-06-23" if truth else "2015-11-03 to 2017-10-29",
        "n_targets": str(n_targets),
        "target_rule": rule if truth else "100 groups named in tech.txt",
        "horizon": "180 days" if truth else "until the log ends",
        "n_ranked": str(len(gateways["rank"].drop_null())),
        "n_flagged": str(sum(gateways["flagged"].to_pylist())),
        "source": "simulated" if truth else "meetup_nashville_joins.csv.gz",
    }
    return pa.table({"key": list(values), "value": list(values.values())})
