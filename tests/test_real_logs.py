"""Real logs are read for what their README says they are.

The logs lie beside the project, not in it; a checkout without them skips these tests.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gateway.log.join_log import JoinLog
from gateway.targets import check_learnable, named_targets

DATA = Path(__file__).parents[2] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real logs is not here")


@dataclass(frozen=True)
class Facts:
    """What the README says of a log."""

    name: str
    rows: int
    users: int
    groups: int
    first: str
    last: str
    ties: float | None = None

    def path(self) -> Path:
        return DATA / f"{self.name}_joins.csv.gz"


MEETUP = Facts("meetup_nashville", 45_583, 24_631, 602, "2015-11", "2017-10")
IGO = Facts("igo_membership", 17_300, 210, 534, "1816", "2014", ties=0.78)
TEAMS = Facts("kubernetes_teams", 8_904, 1_487, 1_065, "2019-01-11", "2026-08-18", ties=0.73)


@pytest.mark.parametrize("facts", [MEETUP, IGO, TEAMS], ids=lambda facts: facts.name)
def test_read__finds_the_joins_users_and_groups_of_the_readme(facts: Facts) -> None:
    joins = JoinLog.read(facts.path())
    assert (joins.n_joins, joins.n_users, joins.n_groups) == (facts.rows, facts.users, facts.groups)
    assert joins.tick == "day"
    first, last = joins.when([joins.time.min(), joins.time.max()]).to_pylist()
    assert first.isoformat().startswith(facts.first)
    assert last.isoformat().startswith(facts.last)


@pytest.mark.parametrize("facts", [IGO, TEAMS], ids=lambda facts: facts.name)
def test_read__finds_the_share_of_ties_of_the_readme(facts: Facts) -> None:
    joins = JoinLog.read(facts.path())
    _, block, sizes = np.unique(
        np.stack([joins.user(), joins.time]), axis=1, return_inverse=True, return_counts=True
    )
    got = np.mean(sizes[block] > 1)
    assert got == pytest.approx(facts.ties, abs=0.005)  # the README rounds to a per cent


@pytest.mark.parametrize("facts", [MEETUP, IGO, TEAMS], ids=lambda facts: facts.name)
def test_read__holds_exactly_the_rows_of_the_file(facts: Facts) -> None:
    with gzip.open(facts.path(), "rt", encoding="utf-8", newline="") as stream:
        expected = Counter(
            (row["user"], row["group"], row["time"]) for row in csv.DictReader(stream)
        )
    rows = JoinLog.read(facts.path()).to_arrow().to_pylist()
    got = Counter((row["user"], row["group"], row["time"].isoformat()) for row in rows)
    assert got == expected


def test_read__finds_the_shape_of_meetup_in_the_readme() -> None:
    joins = JoinLog.read(MEETUP.path())
    counts = np.diff(joins.offsets)
    assert np.mean(counts) == pytest.approx(1.85, abs=0.005)  # rounded there
    assert np.mean(counts == 1) == pytest.approx(0.67, abs=0.005)
    assert (counts.max(), np.quantile(counts, 0.9)) == (42, 4)
    sizes = joins.sizes()
    assert sizes.max() == 951
    assert np.median(sizes) == 24


@pytest.mark.parametrize(
    ("category", "groups", "joiners"), [("Tech", 100, 6_676), ("Outdoors & Adventure", 36, 3_851)]
)
def test_named_targets__finds_a_category_of_meetup(
    category: str, groups: int, joiners: int
) -> None:
    with (DATA / "meetup_nashville_groups.csv").open(encoding="utf-8", newline="") as stream:
        names = [row["group"] for row in csv.DictReader(stream) if row["category"] == category]
    joins = JoinLog.read(MEETUP.path())
    targets = named_targets(joins, names)
    check_learnable(joins, targets)
    assert targets.count == groups
    assert len(np.unique(joins.user()[targets.mask[joins.group]])) == joiners


def test_named_targets__every_member_of_the_eu_had_joined_the_council_of_europe_first() -> None:
    joins = JoinLog.read(IGO.path())
    check_learnable(joins, named_targets(joins, "eu"))
    first = {
        name: dict(zip(joins.user()[rows], joins.time[rows], strict=True))
        for name in ("eu", "coe")
        for rows in [joins.group == joins.groups.index(name).as_py()]
    }
    assert len(first["eu"]) == 28
    assert all(first["coe"][user] <= time for user, time in first["eu"].items())
