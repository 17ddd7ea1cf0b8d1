"""Rules that tie the keys of an intervention together, and those of [truth]."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from gateway.config.breaches import Breach
from gateway.config.phrases import listing, say_key, say_value
from gateway.config.settings import Settings, as_key
from gateway.config.suggestions import did_you_mean, nearest

__all__ = ["intervention_breaches", "truth_breaches"]

_SETS = ("roles", "names", "from_result", "from_detector", "oracle")
# What may be said of a set beyond its name, and which of it must be: one of the first list.
_ONE_OF = {"from_result": ("top", "flagged"), "from_detector": ("top", "flagged"),
           "oracle": ("top",)}  # fmt: skip
_ALSO = {"from_result": ("detector", "digest"), "roles": ("top",)}
_DETAILS = ("detector", "digest", "top", "flagged")
# The measure of each kind: the key that says how strongly it acts.
_MEASURES = {"invite_friction": "share", "demotion": "share", "invite_cap": "most"}
GATEWAYS = ("influence", "recommender", "inviter")
LOOK_ALIKES = ("homophily", "hub", "fellow_traveller")


def intervention_breaches(settings: Settings) -> Iterator[Breach]:
    """Yield what is wrong with ``[[interventions]]``, table by table."""
    tables = settings.given.get("interventions")
    if not isinstance(tables, list) or not tables:
        return
    if settings.has("log") and not settings.has("world"):
        rule = "cannot be used with [log]: only a simulated platform can be lived through again"
        yield Breach(("interventions",), "[[interventions]]", rule)
    for index, table in enumerate(tables):
        if isinstance(table, dict):
            item = _Item(settings, f"interventions.{index}")
            yield from (breach for rule in _RULES for breach in rule(item))


class _Item:
    """One table of the array, and the settings around it."""

    def __init__(self, settings: Settings, path: str) -> None:
        self.settings, self.path = settings, path

    def key(self, name: str) -> str:
        return f"{self.path}.{name}"

    def value(self, name: str) -> Any:
        return self.settings.value(self.key(name))

    def has(self, name: str) -> bool:
        return self.settings.has(self.key(name))

    def written(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if self.settings.writes(self.key(name))]

    def breach(self, names: list[str], what: str, rule: str, **more: str | None) -> Breach:
        keys = tuple(self.key(name) for name in names) or (self.path,)
        return Breach(keys, what, rule, **more)

    def say(self, names: list[str]) -> str:
        """Return keys of this table in words."""
        return f"{listing(names, 'and')} in {say_key(as_key(self.path))}"


def _measure_fits_the_kind(item: _Item) -> Iterator[Breach]:
    kind = item.value("kind")
    if kind is None:
        return
    needed = _MEASURES.get(kind)
    if needed is not None and not item.has(needed):
        yield item.breach([], item.say([needed]), f"is missing: {kind} needs it")
    for name in item.written(("share", "most")):
        if name != needed:
            yield item.breach([name], item.say([name]), f"has no meaning for {kind}")


def _one_set_of_groups(item: _Item) -> Iterator[Breach]:
    kind, given = item.value("kind"), item.written(_SETS)
    if kind is None:
        return
    if kind == "invite_cap":
        for name in item.written((*_SETS, *_DETAILS)):
            rule = "has no meaning for invite_cap, which acts on everybody"
            yield item.breach([name], item.say([name]), rule)
    elif len(given) > 1:
        rule = "cannot stand together: a set of groups is given in one way"
        yield item.breach(given, item.say(given), rule)
    elif not any(item.has(name) for name in _SETS):
        what = say_key(as_key(item.path))
        rule = f"names no groups: it needs one of {listing(list(_SETS))}"
        yield item.breach([], what, rule)


def _details_fit_the_set(item: _Item) -> Iterator[Breach]:
    given = item.written(_SETS)
    if item.value("kind") == "invite_cap" or len(given) != 1:
        return
    (chosen,) = given
    one_of = _ONE_OF.get(chosen, ())
    told = item.written(one_of)
    for name in item.written(_DETAILS):
        if name not in (*one_of, *_ALSO.get(chosen, ())):
            yield item.breach([name], item.say([name]), f"has no meaning beside {chosen}")
    if len(told) > 1:
        yield item.breach(told, item.say(told), "cannot stand together: give one of them")
    if one_of and not any(item.has(name) for name in one_of):
        rule = f"must say which groups: it needs {listing(list(one_of))} beside it"
        yield item.breach([chosen], item.say([chosen]), rule)
    if chosen == "from_result" and not item.has("detector"):
        rule = "must say whose findings: it needs detector beside it"
        yield item.breach([chosen], item.say([chosen]), rule)


def _flagged_means_something(item: _Item) -> Iterator[Breach]:
    if item.value("flagged") is False:
        rule = "must be true, or left out"
        yield item.breach(["flagged"], item.say(["flagged"]), rule, got="false")


def _detector_runs(item: _Item) -> Iterator[Breach]:
    name, running = item.value("from_detector"), item.settings.value("detect.detectors")
    if name is None or running is None or name in running:
        return
    near = nearest(name, running)
    verb = "are" if item.settings.writes("detect.detectors") else "are by default"
    rule = f"must be one of detect.detectors, which {verb} {say_value(list(running))}"
    hint = None if near is None else did_you_mean(near)
    what = item.say(["from_detector"])
    yield item.breach(["from_detector"], what, rule, got=say_value(name), hint=hint)


def _starts_in_time(item: _Item) -> Iterator[Breach]:
    start, world = item.value("start"), item.settings.values("world.start", "world.days")
    if start is None or world is None:
        return
    first, days = world
    day = (start - first).days if isinstance(start, dt.date) else start
    if not 0 <= day < days:
        span = f"{item.settings.mention('world.start')} and {item.settings.mention('world.days')}"
        keys = (item.key("start"), "world.start", "world.days")
        rule = f"must be within the simulated time: {span}"
        yield Breach(keys, item.say(["start"]), rule, say_value(start))


def _roles_are_planted(item: _Item) -> Iterator[Breach]:
    yield from _planted(item.settings, item.key("roles"), item.say(["roles"]))


def _planted(settings: Settings, key: str, what: str) -> Iterator[Breach]:
    """Refuse a role of which the world holds no group."""
    for role in dict.fromkeys(settings.value(key) or ()):
        members = {"planted": GATEWAYS, "look_alikes": LOOK_ALIKES}.get(role, (role,))
        counts = [f"world.roles.{'targets' if name == 'target' else name}" for name in members]
        found = None if role == "ordinary" else settings.values(*counts)
        if found is not None and not any(found):
            verb = "is" if len(counts) == 1 else "are all"
            rule = f"must be in the world: {listing(counts, 'and')} {verb} 0"
            yield Breach((key, *counts), what, rule, say_value(role))


def _nothing_twice(item: _Item) -> Iterator[Breach]:
    for name in ("roles", "names"):
        yield from _differ(item.settings, item.key(name), item.say([name]))


def _differ(settings: Settings, key: str, what: str) -> Iterator[Breach]:
    twice = [name for name, n in Counter(settings.value(key) or ()).items() if n > 1]
    if twice:
        yield Breach((key,), what, "must not name anything twice", say_value(twice))


_RULES: tuple[Callable[[_Item], Iterator[Breach]], ...] = (
    _measure_fits_the_kind,
    _one_set_of_groups,
    _details_fit_the_set,
    _flagged_means_something,
    _detector_runs,
    _starts_in_time,
    _roles_are_planted,
    _nothing_twice,
)


def truth_breaches(settings: Settings) -> Iterator[Breach]:
    """Yield what is wrong with ``[truth]``."""
    wanted = [key for key in ("truth.total", "truth.total_groups") if settings.value(key)]
    if wanted and settings.has("log") and not settings.has("world"):
        rule = "cannot be used with [log]: only a simulated platform can be lived through again"
        yield Breach(tuple(wanted), listing(wanted, "and"), rule)
    if settings.value("truth.total"):
        yield from _planted(settings, "truth.total_roles", "truth.total_roles")
    for key in ("truth.total_roles", "truth.total_groups"):
        yield from _differ(settings, key, key)
