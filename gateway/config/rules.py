"""Rules that tie two settings together.

Each rule looks at the settings as written and says nothing where one of its own is
unknown or faulty, so that one mistake is not reported twice.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator

from gateway.config.breaches import Breach
from gateway.config.intervention_rules import intervention_breaches, truth_breaches
from gateway.config.phrases import listing, say_value
from gateway.config.settings import Settings
from gateway.config.suggestions import did_you_mean, nearest
from gateway.config.types import days_in

__all__ = ["find_breaches"]

_RULE = ("country", "kind", "month", "min_strikes")
_WHOLE_RULE = "country, kind, month and min_strikes"

# Shares that sum to 1 on paper miss it by some 1e-16 in binary (0.1 + 0.2 + 0.7); a slip of
# the hand is larger than this by far.
_SUM_TOLERANCE = 1e-9


def find_breaches(settings: Settings) -> list[Breach]:
    """Return every broken rule that can be judged."""
    return [breach for rule in _RULES for breach in rule(settings)]


def _one_origin(settings: Settings) -> Iterator[Breach]:
    if settings.writes("world") and settings.writes("log"):
        rule = "cannot stand together: joins are either simulated or read from a file"
        yield Breach(("log", "world"), "[world] and [log]", rule)
    if not settings.has("world") and not settings.has("log"):
        rule = "is missing: joins are either simulated ([world]) or read from a file ([log])"
        yield Breach((), "[world] or [log]", rule)


def _targets_by_name_or_by_rule(settings: Settings) -> Iterator[Breach]:
    if not settings.has("targets") or ("targets",) in settings.unsure:
        return
    parts = [f"targets.{part}" for part in _RULE]
    by_rule = tuple(part for part in parts if settings.writes(part))
    missing = [part for part in parts if not settings.has(part)]
    named = [f"targets.{key}" for key in ("groups", "file") if settings.has(f"targets.{key}")]
    if len(named) > 1:
        yield Breach(tuple(named), "targets.file", "cannot stand beside targets.groups")
    if "targets.file" not in named:
        for key in ("column", "where"):
            if settings.writes(f"targets.{key}"):
                yield Breach((f"targets.{key}",), f"targets.{key}", "goes with targets.file alone")
    if "targets.file" in named and by_rule:
        rule = f"cannot stand beside {listing(by_rule, 'and')}: give names or a rule"
        yield Breach(("targets.file",), "targets.file", rule)
    if settings.writes("targets.groups") and by_rule:
        rule = f"cannot stand beside {listing(by_rule, 'and')}: give names or a rule"
        yield Breach(("targets.groups",), "targets.groups", rule)
    elif by_rule and missing and not named:
        verb = "is" if len(missing) == 1 else "are"
        rule = f"{verb} missing: a rule for the targets needs {_WHOLE_RULE}"
        yield Breach(("targets",), listing(missing, "and"), rule)
    elif len(missing) == len(parts) and not named:
        rule = f"needs groups or file, the names of the targets, or a whole rule: {_WHOLE_RULE}"
        yield Breach(("targets",), "[targets]", rule)
    if by_rule and settings.has("log") and not settings.has("world"):
        rule = "cannot be used with [log], which knows no strikes: a rule needs [world]"
        hint = "name the targets in targets.groups"
        yield Breach(by_rule, listing(by_rule, "and"), rule, hint=hint)


def _kind_is_known(settings: Settings) -> Iterator[Breach]:
    yield from _is_among(settings, "targets.kind", "world.kinds")


def _countries_are_known(settings: Settings) -> Iterator[Breach]:
    yield from _is_among(settings, "targets.country", "world.countries")
    yield from _is_among(settings, "world.roles.country", "world.countries")


def _is_among(settings: Settings, one: str, many: str) -> Iterator[Breach]:
    known = settings.values(one, many)
    if known is None or known[0] in known[1]:
        return
    near = nearest(known[0], known[1])
    verb = "are" if settings.writes(many) else "are by default"
    rule = f"must be one of {many}, which {verb} {say_value(sorted(known[1]))}"
    hint = None if near is None else did_you_mean(near)
    yield Breach((one, many), one, rule, settings.say(one), hint)


def _month_is_simulated(settings: Settings) -> Iterator[Breach]:
    known = settings.values("targets.month", "world.start", "world.days")
    if known is None:
        return
    month, start, days = known
    end = start + dt.timedelta(days=int(days))
    first = _month_number(start) + (start.day > 1)
    last = _month_number(end) - 1
    year, within = month.split("-")
    if first <= int(year) * 12 + int(within) - 1 <= last:
        return
    held = f"{_month(first)} to {_month(last)}" if first <= last else "no whole month"
    span = f"{settings.mention('world.start')} and {settings.mention('world.days')}"
    rule = f"must be a whole month of the simulated time: {span} hold {held}"
    keys = ("targets.month", "world.start", "world.days")
    yield Breach(keys, "targets.month", rule, say_value(month))


def _month_number(day: dt.date) -> int:
    return day.year * 12 + day.month - 1


def _month(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _shares_sum_to_one(settings: Settings) -> Iterator[Breach]:
    keys = (
        "simulation.recommendation",
        "simulation.friends",
        "simulation.invitation",
        "simulation.intent",
    )
    shares = settings.values(*keys)
    if shares is not None and abs(sum(shares) - 1.0) > _SUM_TOLERANCE:
        yield _sum_breach(settings, keys, "must be 1")


def _note_needs_a_world(settings: Settings) -> Iterator[Breach]:
    if settings.writes("note") and settings.writes("log"):
        rule = "needs [world]: a real log knows no requests, invitations, arms and labels"
        yield Breach(("note",), "[note]", rule)


def _workflow_follows_the_strikes(settings: Settings) -> Iterator[Breach]:
    """The target set must be known when the workflow runs: no score sees the future."""
    known = settings.values("note.workflow_day", "targets.month", "world.start")
    if known is None:
        return
    day, month, start = known
    year, within = (int(part) for part in month.split("-"))
    after = dt.date(year + within // 12, within % 12 + 1, 1)
    earliest = (after - start).days
    if day < earliest:
        rule = (
            f"must not be before the end of {settings.mention('targets.month')}, whose strikes "
            f"choose the targets: day {earliest}"
        )
        keys = ("note.workflow_day", "targets.month", "world.start")
        yield Breach(keys, "note.workflow_day", rule, settings.say("note.workflow_day"))


_PLANTED = (
    "targets",
    "influence",
    "recommender",
    "inviter",
    "homophily",
    "hub",
    "fellow_traveller",
)


def _roles_fit(settings: Settings) -> Iterator[Breach]:
    roles = tuple(f"world.roles.{role}" for role in _PLANTED)
    planted, groups = settings.values(*roles), settings.value("world.groups")
    if planted is not None and groups is not None and sum(planted) >= groups:
        rule = f"must be less than {settings.mention('world.groups')}"
        yield _sum_breach(settings, roles, rule, "world.groups")


def _sum_breach(settings: Settings, terms: tuple[str, ...], rule: str, *limits: str) -> Breach:
    values = [settings.value(term) for term in terms]
    got = f"{' + '.join(map(say_value, values))} = {sum(values):.10g}"
    silent = [term for term in terms if not settings.writes(term)]
    verb = "is at its default" if len(silent) == 1 else "are at their defaults"
    hint = f"{listing(silent, 'and')} {verb}" if 0 < len(silent) < len(terms) else None
    return Breach((*terms, *limits), " + ".join(terms), rule, got, hint)


def _topics_beyond_kinds(settings: Settings) -> Iterator[Breach]:
    known = settings.values("world.topics", "world.kinds")
    if known is not None and known[0] <= len(known[1]):
        rule = f"must be more than the number of world.kinds ({len(known[1])})"
        got = settings.say("world.topics")
        yield Breach(("world.topics", "world.kinds"), "world.topics", rule, got)


def _harm_leaves_room(settings: Settings) -> Iterator[Breach]:
    known = settings.values("world.harm_interest", "world.kinds")
    if known is not None and known[0] * len(known[1]) >= 1.0:
        rule = f"times the number of world.kinds ({len(known[1])}) must be less than 1"
        got = settings.say("world.harm_interest")
        yield Breach(("world.harm_interest", "world.kinds"), "world.harm_interest", rule, got)


def _names_differ(settings: Settings) -> Iterator[Breach]:
    for key in ("world.kinds", "detect.detectors", "targets.groups"):
        twice = [name for name, n in Counter(settings.value(key) or ()).items() if n > 1]
        if twice:
            yield Breach((key,), key, "must not name anything twice", say_value(twice))


def _columns_differ(settings: Settings) -> Iterator[Breach]:
    keys = ("log.user", "log.group", "log.time")
    columns = settings.values(*keys)
    if columns is not None and len(set(columns)) < len(columns):
        got = ", ".join(settings.say(key) for key in keys)
        yield Breach(keys, listing(keys, "and"), "must name three different columns", got)


def _below(low: str, high: str, *, equal: bool = False) -> Callable[[Settings], Iterator[Breach]]:
    def rule(settings: Settings) -> Iterator[Breach]:
        known = settings.values(low, high)
        if known is not None and (known[0] > known[1] or (known[0] == known[1] and not equal)):
            limit = "must be at most" if equal else "must be less than"
            text = f"{limit} {settings.mention(high)}"
            yield Breach((low, high), low, text, settings.say(low))

    return rule


def _horizon_within_the_world(settings: Settings) -> Iterator[Breach]:
    known = settings.values("score.horizon", "world.days")
    if known is None:
        return
    keys, days = ("score.horizon", "world.days"), days_in(known[0])
    if days is None:
        rule = "must be in days (d) or weeks (w): a world counts in days"
    elif days >= known[1]:
        rule = f"must be less than {settings.mention('world.days')}"
    else:
        return
    yield Breach(keys, "score.horizon", rule, settings.say("score.horizon"))


_RULES: tuple[Callable[[Settings], Iterator[Breach]], ...] = (
    _one_origin,
    _targets_by_name_or_by_rule,
    _kind_is_known,
    _countries_are_known,
    _month_is_simulated,
    _shares_sum_to_one,
    _roles_fit,
    _topics_beyond_kinds,
    _harm_leaves_room,
    _names_differ,
    _columns_differ,
    intervention_breaches,
    truth_breaches,
    _note_needs_a_world,
    _workflow_follows_the_strikes,
    _below("note.workflow_day", "world.days"),
    _below("note.recent_days", "world.days", equal=True),
    _below("world.arrival_days", "world.days"),
    _horizon_within_the_world,
    _below("spike.min_spiking", "spike.min_joiners", equal=True),
)
