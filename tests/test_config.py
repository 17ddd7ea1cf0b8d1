"""Configs: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import gateway.config
from gateway.config import (
    Config,
    config_digest,
    config_json_schema,
    config_to_toml,
    parse_config,
)
from gateway.config.detectors import OPTIONS, SpikeOptions
from gateway.config.document import find_lines
from gateway.config.interventions import InviteCapSection
from gateway.config.phrases import Key
from gateway.config.platform import WorldSection
from gateway.config.shape import node_at, sections, type_of
from gateway.errors import ConfigError, GatewayError

HERE = Path(__file__).parent
VALID = sorted((HERE / "configs" / "valid").glob("*.toml"))
INVALID = sorted((HERE / "configs" / "invalid").glob("*.toml"))
SHIPPED = sorted((HERE.parent / "configs").rglob("*.toml"))

SIMULATED = """
[experiment]
name = "case"

[world]

[targets]
country = "US"
kind = "nudity"
month = "2020-03"
min_strikes = 60
"""
REAL = """
experiment.name = "case"
log.path = "joins.csv"
targets.groups = ["eu"]
"""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def refusal(text: str, *overrides: str, name: str = "case.toml") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name=name, overrides=overrides)
    return caught.value


# Files ------------------------------------------------------------------------------------


def test_config_folders__hold_cases() -> None:
    assert len(VALID) >= 5
    assert len(INVALID) >= 25
    assert SHIPPED


@pytest.mark.parametrize("path", [*VALID, *SHIPPED], ids=lambda path: path.stem)
def test_parse_config__accepts_valid_files(path: Path) -> None:
    config = parse_config(read(path), name=path.name)
    assert parse_config(config_to_toml(config)) == config


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_parse_config__says_what_is_wrong(path: Path) -> None:
    text = read(path)
    expected = re.findall(r"^# expect: (.+)$", text, re.MULTILINE)
    got = str(refusal(text, name=path.name))
    assert expected
    assert [words for words in expected if words not in got] == [], got


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_messages__hold_no_jargon_and_one_line_per_problem(path: Path) -> None:
    error = refusal(read(path), name=path.name)
    lines = str(error).split("\n")
    assert len(lines) == 1 + len(error.problems)
    assert all(line.isprintable() for line in lines)
    assert not re.search(r"pydantic|https?:|Input should|Section\b|_type\b", str(error))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_problems__all_have_a_place_in_the_order_of_the_file(path: Path) -> None:
    error = refusal(read(path), name=path.name)
    places = [re.match(rf"{re.escape(path.name)}:(\d+)", p.where or "") for p in error.problems]
    lines = [int(place[1]) for place in places if place]
    assert len(lines) == len(error.problems)
    assert lines == sorted(lines)


# Reading ----------------------------------------------------------------------------------


def test_parse_config__every_way_of_writing_reads_as_toml_does() -> None:
    text = read(HERE / "configs" / "valid" / "every_way_of_writing.toml")
    config = parse_config(text)
    assert config.world is not None
    assert config.experiment.seed == 16
    assert config.world.roles.hub == 0
    assert config.score.folds == 10
    assert config.spike.min_joiners == 7
    assert config.targets.groups == tuple(tomllib.loads(text)["targets"]["groups"])


def test_parse_config__line_ends_and_byte_order_mark_change_nothing() -> None:
    windows = "\ufeff" + SIMULATED.replace("\n", "\r\n")
    assert parse_config(windows) == parse_config(SIMULATED)
    got = refusal(windows + "[spike]\r\nquantile = 2\r\n").problems[0].where
    assert got == f"case.toml:{SIMULATED.count(chr(10)) + 2}"


def test_count__is_a_whole_number_after_loading() -> None:
    config = parse_config(SIMULATED, overrides=["world.users=1e6"])
    assert config.world is not None
    assert config.world.users == 1_000_000
    assert isinstance(config.world.users, int)


def test_config__is_frozen() -> None:
    config = parse_config(SIMULATED)
    with pytest.raises(ValidationError, match="frozen"):
        config.spike.alpha = 0.5  # type: ignore[misc]


def test_countries__their_order_has_no_meaning() -> None:
    one = parse_config(SIMULATED, overrides=["world.countries={US=1, GB=2}"])
    other = parse_config(SIMULATED, overrides=["world.countries={GB=2, US=1}"])
    assert config_to_toml(one) == config_to_toml(other)
    assert one.world is not None
    assert list(one.world.countries) == ["GB", "US"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1" + "0" * 5000, ":1"),
        ('a = 1\nb = "\ud800"', ":2"),
        ("a = " + "[" * 5000 + "]" * 5000, ""),
        ("a = " + "{b = " * 5000 + "1" + "}" * 5000, ""),
    ],
    ids=["digits", "surrogate", "lists", "tables"],
)
def test_parse_config__refuses_what_python_cannot_hold(text: str, place: str) -> None:
    problem = refusal(text).problems[0]
    assert problem.where == f"case.toml{place}"


def test_parse_config__refuses_a_hexadecimal_number_that_python_cannot_print() -> None:
    got = str(refusal(REAL, "score.folds=0x" + "f" * 6000))
    assert "got a whole number of about 7225 digits" in got


def test_name_of_file__cannot_command_the_terminal() -> None:
    assert "\x1b" not in str(refusal("a", name="\x1b[2J.toml"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('world.countries."[key]" = 1', 'world.countries."[key]" must be named by a code'),
        ('world.countries."[key]" = 0', 'world.countries."[key]" must be in (0, 1_000_000_000]'),
        ('"[key]" = 1', '"[key]" is not a known key'),
        ('world."[key]" = 1', 'world."[key]" is not a known key'),
    ],
)
def test_key__may_be_named_as_the_validators_own_mark(line: str, expected: str) -> None:
    assert f"case.toml:1: {expected}" in str(refusal(line))


# Overrides --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("world.days=400", "world", "days", 400),
        (" world . days = 400 ", "world", "days", 400),
        ('"world".days=4e2', "world", "days", 400),
        ("world.start=2020-02-01", "world", "start", dt.date(2020, 2, 1)),
        ("targets.month=2020-04", "targets", "month", "2020-04"),
        ('targets.month="2020-04"', "targets", "month", "2020-04"),
        ("spike.rule=log_odds", "spike", "rule", "log_odds"),
        ("world.kinds=['nudity', 'spam']", "world", "kinds", ("nudity", "spam")),
    ],
)
def test_override__is_a_toml_value_or_plain_text(
    override: str, section: str, key: str, expected: object
) -> None:
    config = parse_config(SIMULATED, overrides=[override])
    assert getattr(getattr(config, section), key) == expected


def test_override__reaches_any_depth_and_the_last_one_wins() -> None:
    overrides = ["world.roles.influence=3", "world.countries.US=2", "world.roles.influence=0"]
    config = parse_config(SIMULATED, overrides=overrides)
    assert config.world is not None
    assert config.world.roles.influence == 0
    assert config.world.countries == {"US": 2.0}  # a default table is replaced, as in a file


def test_override__replaces_a_whole_section() -> None:
    text = REAL + "[spike]\nquantle = 7\nalpha = 0.01\n"
    config = parse_config(text, overrides=["spike={quantile=0.5}"])
    assert config.spike.quantile == 0.5
    assert config.spike.alpha == 0.05
    (problem,) = refusal(text, "spike={quantle=2}").problems
    assert problem.where == "--set spike={quantle=2}"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("spike.quantle=0.9", "spike.quantle is not a known key (did you mean 'quantile'?)"),
        ("wrold.users=5", "wrold is not a known section (did you mean 'world'?)"),
        ("sede=5", "sede is not a known key (did you mean 'experiment.seed'?)"),
        ("spike.quantile=2", "spike.quantile must be in (0, 1); got 2"),
        ("spike.min_spiking=50", "at most spike.min_joiners (20 by default); got 50"),
        ("experiment.name=2020", "got 2020 (write it in quotes)"),
        ("targets.groups=[a, b]", 'got "[a, b]" (inside a list, text needs quotes)'),
        (
            "score.horizon=none",
            "score.horizon must be a whole number of at least 1, or a duration such as "
            '"180d"; got "none"',
        ),
        ("score.horizon=", 'or a duration such as "180d"; got ""'),
        ("score.horizon='180'", 'got "180" (write it without quotes)'),
        ("self_controlled.risk_window=-1", "must be a whole number of at least 0, or a duration"),
        ("log.path.x=1", 'cannot be set: log.path is a value, not a table; got "joins.csv"'),
        ("log={path='a', usr='b'}", "log.usr is not a known key (did you mean 'user'?)"),
        ("targets.groups=[1]", "item 1 of targets.groups must be text; got 1 (write it in quotes)"),
        ('log.path=""', 'log.path must be the path of a file; got ""'),
        (r'log.path="a\u0000b"', r'log.path must be the path of a file; got "a\u0000b"'),
        ("spike=3", "spike must be a section, written [spike]; got 3"),
        ("spike", "the override must look like section.key=value"),
        ("=5", "the override must look like section.key=value"),
        ("spike..rule=5", "the override must look like section.key=value"),
        ('"\\q".rule=5', "the override must look like section.key=value"),
        ("spike.rule=\udcff", "the override must look like section.key=value"),
        ("score.folds=5\nscore.penalty=1", 'got "5\\nscore.penalty=1"'),
        ("score.folds=1" + "0" * 5000, "score.folds must be a whole number from 2 to 50"),
        ("score.folds=" + "[" * 5000, "score.folds must be a whole number from 2 to 50"),
    ],
)
def test_override__is_named_as_the_place_of_its_problem(override: str, expected: str) -> None:
    error = refusal(REAL, override)
    (problem,) = error.problems
    assert expected in str(problem)
    assert (problem.where or "").startswith("--set ")
    assert str(problem).isprintable()


def test_override__problems_come_together_with_those_of_the_file() -> None:
    error = refusal(REAL + "[figures]\ntop = 0\n", "nonsense", "score.folds=1")
    got = [problem.where for problem in error.problems]
    assert got == ["case.toml:6", "--set nonsense", "--set score.folds=1"]
    broken = refusal("a =", "nonsense")
    assert [problem.where for problem in broken.problems] == ["case.toml:1:4", "--set nonsense"]


def test_override__is_blamed_for_a_conflict_with_the_file() -> None:
    error = refusal(SIMULATED + "[score]\nhorizon = 500\n", "world.days=300")
    assert [problem.where for problem in error.problems] == ["--set world.days=300"]


ARMS = (
    SIMULATED
    + """
[[interventions]]
kind = "demotion"
start = 10
share = 0.5
roles = ["planted"]

[[interventions]]
kind = "invite_cap"
start = 10
most = 3
"""
)


def test_override__reaches_into_an_array_of_tables_by_number() -> None:
    config = parse_config(ARMS, overrides=["interventions.1.share=0.9", "interventions.2.most=7"])
    demotion, invite_cap = config.interventions
    assert (demotion.kind, demotion.share) == ("demotion", 0.9)
    assert (invite_cap.kind, invite_cap.most) == ("invite_cap", 7)


def test_override__replaces_a_table_of_an_array_or_the_whole() -> None:
    one = "interventions.2={kind='invite_cap', start=20, most=9}"
    config = parse_config(ARMS, overrides=[one])
    assert sorted(i.start for i in config.interventions) == [10, 20]
    config = parse_config(ARMS, overrides=["interventions=[]"])
    assert config.interventions == ()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("interventions.1.share=2", "share in item 1 of interventions must be in (0, 1]; got 2"),
        ("interventions.1.shar=1", "shar in item 1 of interventions is not a known key (did you"),
        ("interventions.3.share=1", "the tables of interventions are numbered from 1 to 2"),
        ("interventions.0.share=1", "the tables of interventions are numbered from 1 to 2"),
        ("interventions.x.share=1", "the tables of interventions are numbered from 1 to 2"),
        ("interventions.3={}", "the tables of interventions are numbered from 1 to 2"),
        ("interventions.2.most.x=1", "interventions.2.most is a value, not a table; got 3"),
        ("interventions=5", "interventions must be sections, each written [[interventions]]"),
        ("interventions.2=5", "must be a section, written [[interventions]]; got 5"),
        ("interventions.1.start=900", "start in item 1 of interventions must be within"),
    ],
)
def test_override__of_an_array_of_tables_says_what_is_wrong(override: str, expected: str) -> None:
    (problem,) = refusal(ARMS, override).problems
    assert expected in str(problem)
    assert (problem.where or "").startswith("--set ")


def test_interventions__their_order_has_no_meaning() -> None:
    tables = tomllib.loads(ARMS)
    turned = {**tables, "interventions": tables["interventions"][::-1]}
    one, other = parse_config(ARMS), parse_config(tomli_w.dumps(turned))
    assert one == other
    assert config_digest(one) == config_digest(other)
    assert config_to_toml(one) == config_to_toml(other)


def test_interventions__are_written_as_an_array_of_tables() -> None:
    text = config_to_toml(parse_config(ARMS))
    assert text.count("[[interventions]]") == 2
    assert parse_config(text) == parse_config(ARMS)


# Rules that tie keys ----------------------------------------------------------------------


def test_rules__are_silent_about_keys_that_are_faulty_themselves() -> None:
    overrides = ["world.days=-5", "score.horizon=900", "world.arrival_days=900"]
    error = refusal(SIMULATED, *overrides)
    assert [problem.what for problem in error.problems] == ["world.days"]


def test_rules__are_judged_beside_faults_elsewhere() -> None:
    error = refusal(SIMULATED, "score.folds=1", "score.horizon=540")
    assert [problem.what for problem in error.problems] == ["score.folds", "score.horizon"]


def test_month__fits_when_the_world_holds_exactly_that_month() -> None:
    exact = ["world.start=2020-03-01", "world.days=31", "world.arrival_days=0"]
    assert parse_config(SIMULATED, overrides=exact).targets.month == "2020-03"
    assert "hold no whole month" in str(refusal(SIMULATED, *exact, "world.days=30"))
    late = [*exact, "world.start=2020-03-02", "world.days=60"]
    assert "hold 2020-04 to 2020-04" in str(refusal(SIMULATED, *late))


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("world.groups=261", None),
        ("world.groups=260", "must be less than world.groups (260)"),
        ("world.topics=3", None),
        ("world.topics=2", "must be more than the number of world.kinds"),
        ("world.harm_interest=0.4999", None),
        ("world.harm_interest=0.5", "must be less than 1"),
        ("world.days=181", None),
        ("world.days=180", "must be less than world.days (180)"),
        ("score.horizon=539", None),
        ("score.horizon=540", "must be less than world.days"),
        ("spike.min_spiking=20", None),
        ("spike.min_spiking=21", "must be at most spike.min_joiners"),
        ("simulation.intent=0.3600000001", None),
        ("simulation.intent=0.360000002", "must be 1"),
    ],
)
def test_rules__hold_up_to_their_bound(override: str, rule: str | None) -> None:
    if rule is None:
        assert parse_config(SIMULATED, overrides=[override]).world is not None
    else:
        assert rule in str(refusal(SIMULATED, override))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: SpikeOptions(min_spiking=50),
            "spike.min_spiking must be at most spike.min_joiners (20 by default); got 50",
        ),
        (
            lambda: WorldSection(topics=2, days=1),
            "days must be a whole number from 2 to 36_500; got 1\n"
            "topics must be more than the number of kinds (2); got 2",
        ),
        (
            lambda: Config.model_validate(
                tomllib.loads(SIMULATED) | {"score": {"horizon": 540}, "world": {"days": 540}}
            ),
            "score.horizon must be less than world.days (540); got 540",
        ),
        (
            lambda: InviteCapSection(kind="invite_cap", start=1),
            "most is missing: it must be a whole number of at least 0",
        ),
    ],
    ids=["options", "world", "config", "intervention"],
)
def test_sections__made_in_python_keep_their_rules(
    make: Callable[[], object], expected: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        make()
    assert str(caught.value) == expected


def test_config__has_a_section_for_every_detector() -> None:
    config = parse_config(REAL)
    assert {name: getattr(config, name) for name in OPTIONS} == {
        name: options() for name, options in OPTIONS.items()
    }
    assert [options.section for options in OPTIONS.values()] == list(OPTIONS)


# Writing ----------------------------------------------------------------------------------


def test_config_to_toml__writes_every_default_and_no_unset_key() -> None:
    config = parse_config(SIMULATED)
    written = tomllib.loads(config_to_toml(config))
    expected = config.model_dump(exclude_none=True)
    assert _lists(written) == _lists(expected)
    assert "threshold" not in written["spike"]
    assert "log" not in written


def _lists(value: Any) -> Any:
    """Return tables and lists without the difference between a tuple and a list."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_config_digest__is_one_for_every_way_of_writing() -> None:
    digest = config_digest(parse_config(SIMULATED))
    same = ["world.users=5e4", "simulation.friends=0.1", "world.days=540"]
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert config_digest(parse_config(SIMULATED, overrides=same)) == digest
    negative_zero = parse_config(SIMULATED, overrides=["world.appeal_sigma=-0.0"])
    zero = parse_config(SIMULATED, overrides=["world.appeal_sigma=0"])
    assert config_digest(negative_zero) == config_digest(zero)


def test_config_digest__differs_with_any_setting() -> None:
    overrides = ["experiment.seed=2", "spike.alpha=0.1", "world.start=2020-01-02", "score.folds=4"]
    digests = {config_digest(parse_config(SIMULATED, overrides=[one])) for one in overrides}
    assert len(digests | {config_digest(parse_config(SIMULATED))}) == len(overrides) + 1


DURATIONS = {"180d": True, "12 h": True, "90min": True, "2w": True, "30s": True, "180": False,
             "d": False, "1.5d": False, "-3d": False, "3 months": False}  # fmt: skip


@pytest.mark.parametrize("text", [text for text, fits in DURATIONS.items() if fits])
def test_config__a_duration_may_be_text_and_stays_it(text: str) -> None:
    settings = [f"score.horizon={text}", f"self_controlled.risk_window={text}"]
    config = parse_config(REAL, overrides=settings)
    expected = text.replace(" ", "")
    assert (config.score.horizon, config.self_controlled.risk_window) == (expected, expected)
    assert parse_config(config_to_toml(config)) == config


def test_config__durations_of_a_world_are_days() -> None:
    assert "must be less than world.days" in str(refusal(SIMULATED, "score.horizon=78w"))
    assert "must be in days (d) or weeks (w)" in str(refusal(SIMULATED, "score.horizon=12h"))
    assert parse_config(SIMULATED, overrides=["score.horizon=26w"]).score.horizon == "26w"


def test_config_json_schema__knows_ranges_defaults_and_meanings() -> None:
    schema = config_json_schema()
    text = json.dumps(schema)
    assert "null" not in text
    assert schema["required"] == ["experiment", "targets"]
    got = schema["$defs"]["SpikeOptions"]["properties"]["quantile"]
    assert (got["exclusiveMinimum"], got["exclusiveMaximum"], got["default"]) == (0.0, 1.0, 0.95)
    got = schema["$defs"]["ScoreSection"]["properties"]["horizon"]
    assert (got["type"], got["minimum"]) == (["integer", "string"], 1)
    assert all(bool(re.search(got["pattern"], text)) == fits for text, fits in DURATIONS.items())
    assert not re.search(r'"(ge|gt|le|lt)":', text)


def test_config_json_schema__is_a_copy() -> None:
    config_json_schema()["properties"].clear()
    assert config_json_schema()["properties"]


def leaves() -> Iterator[tuple[Key, dict[str, Any]]]:
    for path, node in sections(Config):
        for name in node["properties"]:
            leaf = node_at(Config, (*path, name)) or {}
            if "properties" not in leaf:
                yield (*path, name), leaf


@pytest.mark.parametrize(("path", "node"), [*leaves()], ids=lambda value: str(value)[:40])
def test_schema__every_key_has_a_meaning_and_every_number_two_bounds(
    path: Key, node: dict[str, Any]
) -> None:
    assert node.get("description"), path
    if type_of(node) in {"integer", "number"}:
        assert node.keys() & {"minimum", "exclusiveMinimum"}, path
        assert node.keys() & {"maximum", "exclusiveMaximum"}, path


# Lines ------------------------------------------------------------------------------------


def test_find_lines__finds_every_form() -> None:
    text = '''a = 1 # comment = 2
[b]  # [x]
"c.d".e = """
f = 1"""""
g = [ # ]
  1.5, "]",

  { h = 2020-01-01 07:32:00, i = {} },
  [[], '}'],
]
[b."j"]
[[k]]
l = ["""a"""", "b]",
"c"]
'''
    expected = {
        ("a",): 1,
        ("b",): 2,
        ("b", "c.d"): 3,
        ("b", "c.d", "e"): 3,
        ("b", "g"): 5,
        ("b", "g", 0): 6,
        ("b", "g", 1): 6,
        ("b", "g", 2): 8,
        ("b", "g", 2, "h"): 8,
        ("b", "g", 2, "i"): 8,
        ("b", "g", 3): 9,
        ("b", "g", 3, 0): 9,
        ("b", "g", 3, 1): 9,
        ("b", "j"): 11,
        ("k",): 12,
        ("k", 0): 12,
        ("k", 0, "l"): 13,
        ("k", 0, "l", 0): 13,
        ("k", 0, "l", 1): 13,
        ("k", 0, "l", 2): 14,
    }
    assert find_lines(text) == expected


def test_find_lines__a_header_says_where_a_section_is() -> None:
    assert find_lines("[a.b]\nc = 1\n[a]\n") == {("a",): 3, ("a", "b"): 1, ("a", "b", "c"): 2}


def test_find_lines__counts_the_tables_of_an_array() -> None:
    text = "[[a]]\nb = 1\n[[a.c]]\n[[a.c]]\nd = 2\n[a.e]\n[[a]]\n[[a.c]]\n[a.c.f]\ng = 3\n"
    expected = {
        ("a",): 1,
        ("a", 0): 1,
        ("a", 0, "b"): 2,
        ("a", 0, "c"): 3,
        ("a", 0, "c", 0): 3,
        ("a", 0, "c", 1): 4,
        ("a", 0, "c", 1, "d"): 5,
        ("a", 0, "e"): 6,
        ("a", 1): 7,
        ("a", 1, "c"): 8,
        ("a", 1, "c", 0): 8,
        ("a", 1, "c", 0, "f"): 9,
        ("a", 1, "c", 0, "f", "g"): 10,
    }
    got = find_lines(text)
    assert got == expected
    assert set(got) == set(paths(tomllib.loads(text)))


# Laws -------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.one_of(
    words,
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.times(),
)
names = st.sampled_from(
    ["[key]", *(str(key[-1]) for key, _ in [*leaves(), *sections(Config)] if key)]
)
keys = st.one_of(words, names)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
documents = st.dictionaries(keys, values, max_size=4)


def paths(value: Any, path: Key = ()) -> Iterator[Key]:
    """Yield every path of nested tables and lists."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from paths(item, (*path, key))


def accepts(text: str, *overrides: str) -> bool:
    """Tell whether a config is accepted; anything but a ConfigError is let through."""
    try:
        config = parse_config(text, name="any.toml", overrides=overrides)
    except ConfigError as error:
        lines = str(error).split("\n")
    else:
        assert parse_config(config_to_toml(config)) == config
        return True
    assert len(lines) > 1
    assert all(line.isprintable() for line in lines)
    return False


@given(documents)
def test_parse_config__arbitrary_tables_raise_only_config_errors(document: dict[str, Any]) -> None:
    accepts(tomli_w.dumps(document))


@given(st.text(max_size=40), st.lists(st.text(max_size=12), max_size=2))
def test_parse_config__arbitrary_text_raises_only_config_errors(
    text: str, overrides: list[str]
) -> None:
    accepts(text, *overrides)
    accepts(REAL, *(f"spike.{override}" for override in overrides))


@given(st.sampled_from([key for key, _ in leaves()]), values, st.sampled_from([SIMULATED, REAL]))
def test_parse_config__one_arbitrary_value_raises_only_config_errors(
    key: Key, value: object, base: str
) -> None:
    document = tomllib.loads(base)
    table: Any = document
    for part, inside in itertools.pairwise(key):
        empty: Any = [{}] if isinstance(inside, int) else {}
        table = table[part] if isinstance(part, int) else table.setdefault(part, empty)
    table[key[-1]] = value
    accepts(tomli_w.dumps(document))


@given(st.lists(words, min_size=1, max_size=4, unique=True), st.integers(0, 2**32 - 1))
def test_config_to_toml__reads_back_as_the_same_config(groups: list[str], seed: int) -> None:
    written = tomli_w.dumps({"targets": {"groups": groups}, "experiment": {"seed": seed}})
    text = written.replace("[experiment]", '[experiment]\nname = "case"\n') + "[world]\n"
    config = parse_config(text)
    again = parse_config(config_to_toml(config))
    assert again == config
    assert config_to_toml(again) == config_to_toml(config)
    assert config_digest(again) == config_digest(config)


@given(st.dictionaries(words, st.recursive(scalars, st.lists, max_leaves=5), max_size=4))
def test_find_lines__finds_exactly_the_keys_of_the_document(document: dict[str, Any]) -> None:
    text = tomli_w.dumps({"first": 1, "table": document})
    lines = find_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    rows = text.split("\n")
    for key in document:
        written = tomli_w.dumps({key: 0}).removesuffix(" = 0\n")
        assert rows[lines["table", key] - 1].startswith(f"{written} = ")


# Weight -----------------------------------------------------------------------------------


def test_gateway_config__imports_no_numpy() -> None:
    folder = str(Path(gateway.config.__file__).parents[1])
    code = (
        "import sys, types; package = types.ModuleType('gateway'); "
        f"package.__path__ = [{folder!r}]; sys.modules['gateway'] = package; "
        "import gateway.config; print('numpy' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_gateway_config__public_names() -> None:
    expected = {
        "SAMPLED",
        "AxisSection",
        "Config",
        "SweepSection",
        "LogSection",
        "config_digest",
        "config_json_schema",
        "config_to_toml",
        "parse_config",
    }
    assert set(gateway.config.__all__) == expected
    assert isinstance(parse_config(REAL), Config)
