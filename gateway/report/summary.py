"""What the stored tables say first: a paragraph, and tiles of single numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.detect import REGISTRY
from gateway.detect.measure import LEADING, leading_first, words_of
from gateway.evaluate.replicates import compare_detectors, is_sweep
from gateway.wording import (
    AUC_WORDS,
    MISSING,
    count,
    counted,
    decimal,
    interval,
    percent,
    scorer_shortfalls,
)

SCORER = "scorer:"
ANALYSES = "analyses/"
"""Where the tables of the note's results lie below a result."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; any of the three may be missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Result:
    """Stored tables by name, without the files' endings; ``top`` groups of each are listed."""

    tables: Mapping[str, pa.Table]
    top: int = 100

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table as one dict per row; none where the result lacks the table."""
        return self.tables[table].to_pylist() if table in self.tables else []

    def summary(self, key: str) -> str | None:
        """Return a value of the summary table."""
        return {row["key"]: row["value"] for row in self.rows("summary")}.get(key)

    def number(self, key: str) -> float | None:
        """Return a value of the summary table that is a number, None where it is not."""
        value = self.summary(key)
        try:
            return None if value is None else float(value)
        except ValueError:
            return None

    def planted(self, metric: str) -> Estimate:
        """Return a metric of the leading detector against the planted truth."""
        return self._metric(metric, of=lambda name: name == self.detector, truth="planted")

    @property
    def detector(self) -> str:
        """The detector that the report is about: the note's where it ran, else the first."""
        return next(iter(self.detectors()), LEADING)

    def scorer(self, metric: str) -> Estimate:
        """Return a metric of the scorer."""
        return self._metric(metric, of=lambda name: name.startswith(SCORER), truth="outcome")

    def has_scorer(self) -> bool:
        """Whether the result holds measures of a scorer."""
        return any(row["detector"].startswith(SCORER) for row in self.evaluations())

    def _metric(self, metric: str, *, of: Any, truth: str) -> Estimate:
        for row in self.evaluations():
            if row["metric"] == metric and row["truth"] == truth and of(row["detector"]):
                return Estimate(row["value"], row["ci_low"], row["ci_high"])
        return Estimate()

    def roles(self) -> dict[str, str]:
        """Return the planted role of each group by name."""
        return {row["group"]: row["role"] for row in self.rows("groups")}

    def has_truth(self) -> bool:
        """Whether roles are known: the log is simulated."""
        return any(role != "unknown" for role in self.roles().values())

    def evaluations(self) -> list[dict[str, Any]]:
        """Return the evaluation of one run; those of a sweep are no result's own."""
        table = self.tables.get("evaluation")
        return [] if table is None or is_sweep(table) else self.rows("evaluation")

    def benchmark(self) -> list[dict[str, Any]]:
        """Return detectors over several worlds: a stored benchmark, or means over a sweep's."""
        if "benchmark" in self.tables or "evaluation" not in self.tables:
            return self.rows("benchmark")
        evaluation = self.tables["evaluation"]
        table = compare_detectors(evaluation) if is_sweep(evaluation) else None
        return [] if table is None else list(table.to_pylist())

    def detectors(self) -> list[str]:
        """Return the detectors that ran: the note's own first, the others as stored."""
        gateways = self.tables.get("gateways")
        return [] if gateways is None else leading_first(gateways["detector"].to_pylist())

    def ranked(self, detector: str) -> list[dict[str, Any]]:
        """Return a detector's first ``top`` ranked groups, by rank, then name."""
        gateways = self.tables["gateways"]
        mine = pc.and_(pc.equal(gateways["detector"], detector), pc.is_valid(gateways["rank"]))
        order = [("rank", "ascending"), ("group", "ascending")]
        rows: list[dict[str, Any]] = gateways.filter(mine).sort_by(order)[: self.top].to_pylist()
        return rows


CAVEAT = (
    "A gateway group is not necessarily harmful in itself: other signals must be combined with "
    "the score before anybody acts on it."
)
"""The note's own caveat."""

_OTHERS = {
    "ordinary": "ordinary groups",
    "hub": "hubs",
    "target": "harmful groups outside the target set",
}
_ASSOCIATION = (
    "The ranking shows association: nobody knows the truth of a real log, and a high score is no "
    "proof that a group sends people to the targets."
)


_CHECKED = "This page says how far each detector can be trusted on this log; it names no gateway."


@dataclass(frozen=True)
class Tile:
    """One number that a reader looks for first."""

    label: str
    value: str
    note: str


def lede(result: Result) -> str:
    """Return the summary: the log, the target set, the scorer, the ranking."""
    if "check" in result.tables:
        return f"{_log(result)} {_targets(result)}"
    parts = [_log(result), _targets(result), _scorer(result), _ranking(result), _rivals(result)]
    return " ".join(part for part in parts if part)


def confusion(result: Result) -> str:
    """Return the one sentence that says how far to trust the ranking."""
    if "check" in result.tables:
        return _CHECKED
    share = result.planted("share_homophily_at_50").value
    if share is None or not result.has_truth():
        return f"{_ASSOCIATION} {CAVEAT}"
    if share == 0.0:
        return (
            "No homophily look-alike (a group that attracts users already inclined and sends "
            "nobody) is among its top 50."
        )
    return (
        f"The method confuses gateways with groups that send nobody: {percent(share)} of its "
        "top 50 are homophily look-alikes, which attract users already inclined"
        f"{_others(result)}."
    )


def _others(result: Result) -> str:
    """Say which other groups that are no gateways stand in the top 50."""
    shares = {label: result.planted(f"share_{key}_at_50").value for key, label in _OTHERS.items()}
    parts = [f"{percent(share)} {label}" for label, share in shares.items() if share]
    head, last = ", ".join(parts[:-1]), parts[-1] if parts else ""
    return f", beside {f'{head} and {last}' if head else last}" if parts else ""


def tiles(result: Result) -> list[Tile]:
    """Return the key figures; those that need a planted truth only where there is one."""
    if "check" in result.tables:
        return []
    auc = result.scorer("auc")
    flagged = Tile(
        "groups flagged",
        count(result.number("n_flagged")),
        f"of {count(result.number('n_ranked'))} ranked, by {result.detector}",
    )
    scorer = Tile("AUC of the scorer", decimal(auc.value), _bounds(auc))
    if not result.has_truth():
        base = result.number("base_rate")
        targets = Tile("target groups", count(result.number("n_targets")), "by name or rule")
        follows = Tile("base rate of joins", percent(base), "of joins: a target join follows")
        return [scorer, follows, targets, flagged]
    precision = result.planted("average_precision")
    at_50 = result.planted("precision_at_50")
    homophily = result.planted("share_homophily_at_50")
    return [
        scorer,
        Tile("average precision", decimal(precision.value), _bounds(precision)),
        Tile("planted gateways in the top 50", percent(at_50.value), _bounds(at_50, shares=True)),
        Tile("homophily look-alikes in the top 50", percent(homophily.value),
             _bounds(homophily, shares=True)),
        flagged,
    ]  # fmt: skip


def _log(result: Result) -> str:
    source = result.summary("source") or MISSING
    origin = "Simulated log" if source == "simulated" else f"Join log {source}"
    span = result.summary("span")
    return (
        f"{origin}: {counted(result.number('n_joins'), 'join')} of "
        f"{counted(result.number('n_groups'), 'group')} by "
        f"{counted(result.number('n_users'), 'user')}"
        f"{f', {span}' if span else ''}."
    )


def _targets(result: Result) -> str:
    names = result.detectors()
    users = [n for n in names if n not in REGISTRY or REGISTRY[n].uses_horizon]
    horizon = result.summary("horizon") if users or not names else None
    if horizon and users != names:
        horizon += f" for {', '.join(map(words_of, users))}"
    return (
        f"Target set: {counted(result.number('n_targets'), 'group')} "
        f"({result.summary('target_rule') or MISSING}){f', horizon {horizon}' if horizon else ''}."
    )


def _scorer(result: Result) -> str:
    auc = result.scorer("auc")
    if result.detectors() and not result.has_scorer():
        return "No scorer was trained: no detector asked for one."
    texts = {
        "auc_without_groups": "from the number of joins so far and the calendar",
        "auc_joins_so_far": "from the number of joins so far alone",
        "auc_last_group": "from the rate of the last group alone",
    }
    measures = {name: result.scorer(name).value for name in AUC_WORDS}
    beside = [
        f"{text} it is {decimal(measures[name])}"
        for name, text in texts.items()
        if measures[name] is not None
    ]
    said = [
        "After each join, the scorer tells users who go on to join a target from the others with "
        f"an AUC of {decimal(auc.value)}{_in_brackets(auc)}{'; ' if beside else ''}"
        f"{', '.join(beside)}.",
        *scorer_shortfalls(measures),
    ]
    return " ".join(said)


def _ranking(result: Result) -> str:
    ranked = counted(result.number("n_ranked"), "group")
    flagged = count(result.number("n_flagged"))
    is_spike = result.detector == LEADING
    method = "The spike method" if is_spike else f"The detector {words_of(result.detector)}"
    found = f"{method} ranks {ranked} and flags {flagged} as gateways"
    precision = result.planted("average_precision")
    if precision.value is None or not result.has_truth():
        return f"{found}."
    at_50 = result.planted("precision_at_50")
    return (
        f"{found}; against the planted gateways its average precision is "
        f"{decimal(precision.value)}{_in_brackets(precision)}, and {percent(at_50.value)} of its "
        "top 50 are gateways."
    )


def _rivals(result: Result) -> str:
    """Say which of several detectors ranks the planted gateways best."""
    found = {row["detector"]: row["value"] for row in result.evaluations()
             if (row["truth"], row["metric"]) == ("planted", "average_precision")}  # fmt: skip
    known = {name: value for name, value in found.items() if value is not None}
    if len(known) < 2:
        return ""
    best = max(known, key=lambda name: (known[name], name))
    return (
        f"Of {count(len(known))} detectors, {words_of(best)} ranks the planted gateways "
        f"best, with an average precision of {decimal(known[best])}."
    )


def _bounds(estimate: Estimate, *, shares: bool = False) -> str:
    form = percent if shares else decimal
    text = interval(form(estimate.low), form(estimate.high))
    return "no interval" if text == MISSING else f"95 % {text}"


def _in_brackets(estimate: Estimate) -> str:
    text = interval(decimal(estimate.low), decimal(estimate.high))
    return "" if text == MISSING else f" (95 % interval {text})"
