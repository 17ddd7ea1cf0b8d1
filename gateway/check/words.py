"""What a check shows in plain words: a paragraph for a paper, and what may not be claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway import __version__
from gateway.check.summary import ALLOWED, NULLS, POWER, answers_to, fails
from gateway.detect import DETECTORS
from gateway.detect.measure import words_of

Row = Mapping[str, Any]

LOGS = {
    "labels_permuted": "labels permuted over all joins",
    "permuted_within_users": "each user's groups permuted among that user's joins",
    "time_reversed": "time reversed",
    "placebo_targets": "placebo targets",
    "planted": "planted gateways",
}
"""What each kind of log is called."""


def paragraph_of(rows: Sequence[Row], summary: Mapping[str, str]) -> str:
    """Return what was done and what came out, in sentences that a paper can hold.

    Parameters
    ----------
    rows
        Of the table that ``summarise_check`` gives.
    summary
        Of the log as it is: ``n_joins``, ``n_users``, ``n_groups``, ``n_targets``; ``notes`` of
        the detectors; ``planted_into``, what was done to the log before gateways were planted.
    """
    log = ", ".join(
        f"{int(summary[key]):,} {key[2:]}" for key in ("n_joins", "n_users", "n_groups")
        if key in summary
    )  # fmt: skip
    n = int(summary.get("n_targets", 0))
    targets = f"; {n:,} target group{'' if n == 1 else 's'}" if n else ""
    names = _listing([words_of(name) for name in _detectors(rows)])
    begin = f"We checked {names} on this log ({log}{targets}) with gateway {__version__}."
    parts = [_calls_words(rows), *(_null_words(rows, null) for null in NULLS)]
    parts += [_reversed_words(rows), _placebo_words(rows)]
    planted = [_planted_words(rows, name) for name in _detectors(rows)]
    if "planted_into" in summary and any(planted):
        parts.append(f"Gateways were planted into the log {summary['planted_into']}.")
    parts += [*planted, _unplaced_words(rows)]
    if summary.get("notes"):
        parts.append(f"On the log as it is: {summary['notes']}.")
    return " ".join([begin, *(part for part in parts if part)])


def limits_of(rows: Sequence[Row]) -> list[str]:
    """Return what may not be claimed after this check, a sentence or two for each reason."""
    said = [line for name in _detectors(rows) for line in _limits_of_one(rows, name)]
    said.append(
        "Neither null holds what changes with time in a user: that a level is held there does not "
        "show that a call is causal. Planted gateways multiply a member's rate of target joins "
        "for good; one that acts otherwise may be found more or less often."
    )
    if _unplaced_words(rows):
        said.append(_unplaced_words(rows) + " Power and coverage are for these smaller effects.")
    few = [
        row["n"]
        for row in rows
        if row["metric"] == "share_of_logs_with_calls" and row["log"] in NULLS
    ]
    if few and min(few) < _ENOUGH:
        said.append(
            f"With {min(few)} permutations a detector that calls in "
            f"{_percent(1.0 - 0.025 ** (1.0 / min(few)))} of such logs may show none: more of "
            "them are needed before it can be said that a level is held."
        )
    return said


_NOMINAL = 0.95
_MANY_UNPLACED = 0.1
# Permuted logs from which a share of 1 in 20 can be told from none.
_ENOUGH = 72


def verdict_of_check(rows: Sequence[Row], detector: str, log: str) -> str:
    """Return in a few words what a detector's calls on one kind of log are worth."""
    if log == "placebo_targets":
        return "background"
    if not _holds_level(rows, detector):
        return "flags nobody"
    if log not in answers_to(_claims(rows, detector)):
        return "association stays"
    if log in fails(rows, detector):
        return "fails"
    row = _one(rows, log=log, detector=detector, metric="share_of_logs_with_calls")
    return "too few logs to tell" if row is not None and row["n"] < _ENOUGH else "as allowed"


def _detectors(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(row["detector"] for row in rows)
    order = {name: place for place, name in enumerate(DETECTORS)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def _claims(rows: Sequence[Row], detector: str) -> Any:
    return next(row["claims"] for row in rows if row["detector"] == detector)


def _holds_level(rows: Sequence[Row], detector: str) -> bool:
    return all(row["holds_level"] for row in rows if row["detector"] == detector)


def _of(rows: Sequence[Row], **keys: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in keys.items())]


def _one(rows: Sequence[Row], **keys: Any) -> Row | None:
    return next(iter(_of(rows, **keys)), None)


def _unplaced_words(rows: Sequence[Row]) -> str:
    unplaced = max((row["value"] for row in _of(rows, metric="share_unplaced")), default=0.0)
    if unplaced <= _MANY_UNPLACED:
        return ""
    return (
        f"Up to {_percent(unplaced)} of the further joins that were drawn are not there, as their "
        "user was a member of every target: the ratios that were planted are less than their names."
    )


def _calls_words(rows: Sequence[Row]) -> str:
    said = [
        f"{words_of(row['detector'])} called {row['value']:,.0f} group{'s' * (row['value'] != 1)}"
        for row in _of(rows, log="time_reversed", metric="calls_forwards")
        if row["holds_level"]
    ]
    return f"On the log as it is, {' and '.join(said)}." if said else ""


def _null_words(rows: Sequence[Row], log: str) -> str:
    said = []
    for row in _of(rows, log=log, metric="share_of_logs_with_calls"):
        n, k = row["n"], round(row["value"] * row["n"])
        name = words_of(row["detector"])
        which = f"{name} called a group in {k} of {n} logs ({_interval(row)})"
        if not row["holds_level"]:
            which = f"{name}, whose level is not held, flags nobody"
        elif log not in answers_to(row["claims"]):
            which += ": association stays there, and it claims no more"
        said.append(which)
    return f"With {LOGS[log]}, {'; '.join(said)}." if said else ""


def _placebo_words(rows: Sequence[Row]) -> str:
    said = [
        f"{words_of(row['detector'])} called {row['value']:.1f} groups a log"
        for row in _of(rows, log="placebo_targets", metric="calls")
        if row["holds_level"]
    ]
    if not said:
        return ""
    return (
        f"With other groups of like size as targets (placebo), {'; '.join(said)}: a background, "
        "for such targets may have gateways."
    )


def _reversed_words(rows: Sequence[Row]) -> str:
    said = []
    for name in _detectors(rows):
        if _claims(rows, name) != "association":
            continue
        values = {row["metric"]: row["value"] for row in _of(
            rows, log="time_reversed", detector=name)}  # fmt: skip
        correlation = values.get("rank_correlation")
        if correlation is None:
            continue
        calls = ""
        if "calls_forwards" in values and _holds_level(rows, name):
            calls = (
                f"called {values['calls_forwards']:,.0f} groups forwards and "
                f"{values['calls_backwards']:,.0f} backwards, "
                f"{values['calls_both_ways']:,.0f} of them both ways, "
            )
        said.append(f"{words_of(name)} {calls}with a rank correlation of {_two(correlation)}")
    return f"With time reversed, {'; '.join(said)}." if said else ""


def _planted_words(rows: Sequence[Row], name: str) -> str:
    mine = _of(rows, log="planted", detector=name, where="anywhere")
    power = sorted(_of(mine, metric="power"), key=lambda row: row["ratio"])
    precision = sorted(_of(mine, metric="average_precision"), key=lambda row: row["ratio"])
    if not precision:
        return ""
    ratios = _listing([f"{row['ratio']:g}" for row in precision])
    said = (
        f"Of gateways planted anywhere that multiply their members' rate of target joins by "
        f"{ratios}, {words_of(name)} "
    )
    if power and _holds_level(rows, name):
        said += f"found {_found(power)}; its "
    else:
        said += "has an "
    said += f"average precision {'was' if 'found' in said else 'of'} "
    said += _listing([_two(row["value"]) for row in precision])
    chance = [row["value"] for row in _of(mine, metric="precision_by_chance")]
    said += f" (in a random order {_two(sum(chance) / len(chance))})" if chance else ""
    coverage = _of(mine, metric="coverage")
    holding = sum(row["value"] * row["n"] for row in coverage)
    n = sum(row["n"] for row in coverage)
    if n:
        said += f", and {round(holding)} of {n} of its 95 % intervals held the planted ratio"
    ranked = _of(mine, metric="share_ranked")
    n = sum(row["n"] for row in ranked)
    left_out = n - round(sum(row["value"] * row["n"] for row in ranked))
    if left_out:
        said += f". It could tell nothing of {left_out} of these {n} groups"
    return f"{said}."


def _limits_of_one(rows: Sequence[Row], name: str) -> list[str]:
    claims, holds_level = _claims(rows, name), _holds_level(rows, name)
    said: list[str] = []
    if claims == "association":
        said.append(
            f"{words_of(name)} measures association: that members of a group go to targets more "
            "often than others. Its calls may not be read as what a group does to its members."
        )
        row = _one(rows, log="permuted_within_users", detector=name,
                   metric="share_of_logs_with_calls")  # fmt: skip
        if row is not None and holds_level and row["value"] > 0:
            said.append(
                f"It calls groups in {round(row['value'] * row['n'])} of {row['n']} logs in which "
                "the order of each user's joins is random and nothing leads anywhere."
            )
        ways = {
            way: _one(rows, log="time_reversed", detector=name, metric=f"calls_{way}")
            for way in ("backwards", "both_ways")
        }
        back, both = (0.0 if row is None else row["value"] for row in ways.values())
        if holds_level and back:
            said.append(
                f"With time reversed it calls {back:.0f} group{'s' * (back != 1)}, {both:.0f} of "
                "them the same: it does not tell what leads to targets from what follows on them."
            )
        placebo = _one(rows, log="placebo_targets", detector=name, metric="calls")
        real = _one(rows, log="time_reversed", detector=name, metric="calls_forwards")
        if placebo and real and holds_level and placebo["value"] >= max(real["value"], 1.0):
            said.append(
                f"It calls no more groups for the real targets ({real['value']:.0f}) than for "
                f"other groups of like size ({placebo['value']:.1f} on average): how many it "
                "calls says nothing about these targets."
            )
    broken = [LOGS[log] for log in fails(rows, name)]
    if broken:
        said.append(
            f"With {_listing(broken)}, {words_of(name)} calls groups in more than 1 log in "
            f"{1 / ALLOWED:.0f}: no call of it on this log may be claimed."
        )
    least = _one(rows, log="planted", detector=name, where="anywhere", metric="least_ratio")
    wide = [
        row for row in _of(rows, log="planted", detector=name, metric="coverage")
        if row["ci_high"] < _NOMINAL
    ]  # fmt: skip
    if wide:
        worst = min(wide, key=lambda row: row["value"])
        said.append(
            f"Of the 95 % intervals that {words_of(name)} gives groups planted {worst['where']} "
            f"with a ratio of {worst['ratio']:g}, {_percent(worst['value'])} hold it "
            f"({_interval(worst)}): there they are too narrow, or off because such groups have "
            "effects of their own or members run out of targets."
        )
    if least is not None and holds_level:
        strongest = max(
            row["ratio"] for row in _of(rows, log="planted", detector=name, metric="power")
        )
        found = least["value"]
        said.append(
            f"That {words_of(name)} does not call a group does not show that it is no gateway: "
            + (
                f"a planted ratio of about {found:.2g} is needed to be found with power {POWER:g}."
                if found is not None and found == found  # noqa: PLR0124  (NaN)
                else f"even a planted ratio of {strongest:g} is found with less than power "
                f"{POWER:g}."
            )
        )
    return said


def _listing(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _found(rows: Sequence[Row]) -> str:
    """Return how many planted groups were found, of how many."""
    found = [f"{row['value'] * row['n']:.0f}" for row in rows]
    counts = [str(row["n"]) for row in rows]
    if len(set(counts)) == 1:
        return f"{_listing(found)} of {counts[0]} planted groups{' each' * (len(counts) > 1)}"
    return _listing([f"{k} of {n}" for k, n in zip(found, counts, strict=True)])


def _interval(row: Row) -> str:
    return f"95 % interval {_percent(row['ci_low'])} to {_percent(row['ci_high'])}"


def _percent(value: float) -> str:
    return f"{100.0 * value:.{0 if value in {0.0, 1.0} else 1}f} %"


def _two(value: float) -> str:
    return f"{value:.2f}"
