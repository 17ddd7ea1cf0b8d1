"""The first paragraph and the tiles: what was found, and what it was confused with."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detect import REGISTRY
from gateway.report.numbers import MISSING, count, counted, decimal, interval, percent
from gateway.report.quantities import AUC_WORDS, scorer_shortfalls
from gateway.report.stored import DETECTOR, Estimate, Result

__all__ = ["CAVEAT", "Tile", "confusion", "lede", "tiles"]

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


@dataclass(frozen=True)
class Tile:
    """One number that a reader looks for first."""

    label: str
    value: str
    note: str


def lede(result: Result) -> str:
    """Return the summary: the log, the target set, the scorer, the ranking."""
    parts = [_log(result), _targets(result), _scorer(result), _ranking(result), _rivals(result)]
    return " ".join(part for part in parts if part)


def confusion(result: Result) -> str:
    """Return the one sentence that says how far to trust the ranking."""
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
        return [scorer, Tile("base rate", percent(base), "of joins: a target follows"),
                targets, flagged]  # fmt: skip
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
        horizon += f" for {', '.join(users).replace('_', ' ')}"
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
    is_spike = result.detector == DETECTOR
    method = "The spike method" if is_spike else f"The detector {result.detector}"
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
        f"Of {count(len(known))} detectors, {best.replace('_', ' ')} ranks the planted gateways "
        f"best, with an average precision of {decimal(known[best])}."
    )


def _bounds(estimate: Estimate, *, shares: bool = False) -> str:
    form = percent if shares else decimal
    text = interval(form(estimate.low), form(estimate.high))
    return "no interval" if text == MISSING else f"95 % {text}"


def _in_brackets(estimate: Estimate) -> str:
    text = interval(decimal(estimate.low), decimal(estimate.high))
    return "" if text == MISSING else f" (95 % interval {text})"
