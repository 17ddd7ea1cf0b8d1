"""What a log can show, and what two kinds of evidence say together."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from gateway.analyses import detectable_ratio, verdict_of
from gateway.cli.terminal import or_undefined, print_json


def findings(
    spike: str,
    change: str,
    *,
    untested: str = "",
    by: tuple[str, str] = ("spike", "self_controlled"),
) -> pa.Table:
    """Six groups a to f, of which each detector flags those named."""
    rows = [
        {"detector": name, "group": g, "flagged": g in flagged,
         "p_value": None if name == by[1] and g in untested else 0.5}
        for name, flagged in zip(by, (spike, change), strict=True)
        for g in "abcdef"
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize(
    ("spike", "change", "untested", "expected"),
    [
        ("abcdef", "", "",
         "association: 6 groups; of these none survives comparison with themselves"),
        ("ab", "b", "", "association: 2 groups; of these 1 survives comparison with themselves"),
        ("", "", "", "association: no group"),
        ("ab", "c", "a", "association: 2 groups; of these none survives comparison with themselves "
         "(1 could not be compared); a change without association: 1 group"),
        ("ab", "", "ab",
         "association: 2 groups; none of these could be compared with themselves"),
    ],
)  # fmt: skip
def test_verdict__says_what_survives(spike: str, change: str, untested: str, expected: str) -> None:
    got = verdict_of(findings(spike, change, untested=untested))
    assert got is not None
    assert got.text == expected


def test_verdict__needs_both_detectors() -> None:
    table = findings("a", "b")
    assert verdict_of(table.slice(0, 6)) is None


@pytest.mark.parametrize(
    ("ran", "expected"),
    [
        (("frequentist", "order"), ("frequentist", "order")),
        (("matching", "order", "self_controlled", "spike"), ("spike", "self_controlled")),
        (("survival", "matching", "self_controlled"), ("matching", "self_controlled")),
        (("coefficient", "self_controlled"), None),  # nothing is tested by the first
        (("mine", "self_controlled"), None),  # nobody knows what it claims
        (("spike", "matching"), None),
    ],
)
def test_verdict__is_of_the_kinds_of_evidence_that_ran(
    ran: tuple[str, ...], expected: tuple[str, str] | None
) -> None:
    table = pa.concat_tables([findings("a", "a", by=(name, name)) for name in ran])
    got = verdict_of(table)
    assert expected == (None if got is None else (got.association_by, got.change_by))


@pytest.mark.parametrize(("n", "p", "tests"), [(20, 0.05, 50), (200, 0.02, 10), (3, 0.05, 50)])
def test_detectable_ratio__is_found_with_that_power(n: int, p: float, tests: int) -> None:
    """By the definition: the smallest significant count, reached with probability .8."""
    least = next(c for c in range(n + 1) if binom.sf(c - 1, n, p) <= 0.05 / tests)
    got = detectable_ratio(n, p, alpha=0.05, tests=tests)
    assert binom.sf(least - 1, n, got * p) == pytest.approx(0.8, abs=1e-9)


def test_detectable_ratio__is_undefined_where_nothing_is_significant() -> None:
    assert np.isnan(detectable_ratio(2, 0.5, alpha=0.05, tests=50))  # .25 at best
    assert np.isnan(detectable_ratio(20, np.nan, alpha=0.05, tests=50))


def test_undefined__is_said_and_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert [or_undefined(x) for x in (0.25, None, np.nan)] == ["0.250", "undefined", "undefined"]
    print_json({"a": [float("nan"), 1.0], "b": float("inf")})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0], "b": None}
