"""Target sets, and logs from which nothing can be learned."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from gateway.errors import LogError
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet, check_learnable, named_targets, targets_by_rule


def _log(*joins: tuple[str, str, int]) -> JoinLog:
    users, groups, times = zip(*joins, strict=True)
    return JoinLog.from_arrays(users, groups, times)


JOINS = _log(
    ("a", "club", 1), ("a", "Tech", 2), ("b", "club", 1), ("b", "Tech", 3), ("c", "club", 1),
    ("d", "park", 2),
)  # fmt: skip


def test_named_targets__marks_the_named_groups() -> None:
    got = named_targets(JOINS, ["park", "Tech", "park"])
    assert got.mask.tolist() == [True, False, True]
    assert got.names(JOINS) == ["Tech", "park"]
    assert got.count == 2
    assert got.description == "2 groups by name: Tech, park"
    assert named_targets(JOINS, "Tech").names(JOINS) == ["Tech"]


def test_named_targets__says_which_names_are_unknown_and_what_may_be_meant() -> None:
    with pytest.raises(LogError) as caught:
        named_targets(JOINS, ["tech", "clubs", "Tech", "\x1b[0m", "p", "q", "r"])
    assert str(caught.value) == (
        "every target must be a group of the log; 6 of 7 are not: 'tech' (did you mean 'Tech'?), "
        "'clubs' (did you mean 'club'?), '\\x1b[0m', 'p', 'q', 'r'"
    )
    many = [f"n{k}" for k in range(30)]
    with pytest.raises(LogError, match=r"30 of 30 are not: 'n0', .*'n19' and 10 more$"):
        named_targets(JOINS, many)


def test_named_targets__skips_unknown_names_when_asked_and_says_how_many() -> None:
    got = named_targets(JOINS, ["Tech", "tech", "gone"], skip_unknown=True)
    assert got.names(JOINS) == ["Tech"]
    assert got.skipped == ("tech", "gone")
    assert got.description == "1 group by name: Tech (2 more that the log lacks are skipped)"
    with pytest.raises(LogError, match="2 of 2 are not"):
        named_targets(JOINS, ["tech", "gone"], skip_unknown=True)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "the target groups must be named; got no name"),
        (["club", "Tech", "park"], "the target groups must not be all groups of the log"),
        ([""], "1 of 1 is not: ''"),
    ],
)
def test_named_targets__refuses_none_and_all(names: list[str], said: str) -> None:
    with pytest.raises(LogError, match=re.escape(said)):
        named_targets(JOINS, names)


def test_targets_by_rule__keeps_the_mask_and_the_rule() -> None:
    meets = np.array([True, False, False])
    got = targets_by_rule(JOINS, meets, "struck groups")
    meets[:] = True
    assert got.mask.tolist() == [True, False, False]
    assert got.description == "struck groups"


@pytest.mark.parametrize(
    ("meets", "error", "said"),
    [
        ([False] * 3, LogError, "some group must meet the rule for targets (struck); none does"),
        ([True] * 3, LogError, "the target groups must not be all groups of the log"),
        ([True], ValueError, "meets must have 3 values; got 1"),
    ],
)
def test_targets_by_rule__refuses_none_and_all(
    meets: list[bool], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        targets_by_rule(JOINS, np.array(meets), "struck")


def test_target_set__mask_is_bool_and_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="mask must be a bool array"):
        TargetSet(mask=np.array([0, 1]), description="")
    with pytest.raises(ValueError, match="read-only"):
        named_targets(JOINS, "Tech").mask[0] = True


def test_check_learnable__accepts_a_log_in_which_something_precedes_a_target() -> None:
    check_learnable(JOINS, named_targets(JOINS, "Tech"))


@pytest.mark.parametrize(
    ("joins", "said"),
    [
        ([("a", "x", 1), ("a", "t", 2)], "must hold at least 2 users, as those of some are"),
        (
            [("a", "x", 1), ("a", "t", 2), ("b", "x", 1), ("c", "x", 1)],
            "at least 2 users must join a target group (1 group by name: t); one user does",
        ),
        (
            [("a", "x", 1), ("a", "t", 2), ("b", "x", 1), ("b", "t", 2)],
            "at least 2 users must never join a target group (1 group by name: t), for "
            "comparison; every user does",
        ),
        (
            [("a", "x", 1), ("a", "t", 2), ("b", "x", 1), ("b", "t", 2), ("c", "x", 1)],
            "for comparison; all but one do",
        ),
        (
            [(u, "t", 1) for u in "ab"] + [(u, "x", 1) for u in "ab"] + [(u, "x", 1) for u in "cd"],
            "for all 2 users who join a target it is the first thing they join, or in the same",
        ),
    ],
)
def test_check_learnable__says_what_is_missing(joins: list[Any], said: str) -> None:
    log = _log(*joins)
    with pytest.raises(LogError, match=re.escape(said)):
        check_learnable(log, named_targets(log, "t"))


def test_check_learnable__a_target_that_nobody_joins_teaches_nothing() -> None:
    log = JoinLog.from_arrays([0, 1], [0, 0], [1, 2], groups=["x", "t"])
    with pytest.raises(LogError, match=r"at least 2 users must join .*; no user does"):
        check_learnable(log, named_targets(log, "t"))


def test_check_learnable__refuses_the_target_set_of_another_log() -> None:
    other = _log(("a", "x", 1), ("b", "y", 1))
    with pytest.raises(ValueError, match="mask must have 3 values; got 2"):
        check_learnable(JOINS, named_targets(other, "x"))
