"""From TOML text to a config, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.breaches import Breach
from gateway.config.detectors import READING
from gateway.config.document import Document, Finding, Place, read_document
from gateway.config.faults import Faults, find_faults
from gateway.config.rules import find_breaches
from gateway.config.schema import Config
from gateway.config.settings import Settings, as_key
from gateway.errors import ConfigError, GatewayError, Problem

__all__ = ["check_document", "parse_config", "refusal_of"]


def parse_config(text: str, *, name: str = "config", overrides: Sequence[str] = ()) -> Config:
    """Read a config.

    Parameters
    ----------
    text
        TOML.
    name
        Of the file, for messages; nothing is opened.
    overrides
        Settings over the file's, ``section.key=value`` to any depth, the last one wins.
        The value is a TOML value, or else plain text: ``targets.month=2020-04``. They act
        as if written in the file: one country of a table replaces a table of defaults.

    Returns
    -------
    Config
        Frozen, complete, and within every rule.

    Raises
    ------
    ConfigError
        With every problem at once, in the order of the file. Rules that tie keys
        together are judged where these keys are sound themselves.

    Examples
    --------
    >>> text = '''
    ... experiment.name = "tags"
    ... log.path = "joins.csv"
    ... targets.groups = ["eu"]
    ... '''
    >>> parse_config(text, overrides=["spike.min_joiners=10"]).spike.min_joiners
    10
    >>> parse_config(text, name="tags.toml", overrides=["spike.quantle=0.9"])
    Traceback (most recent call last):
    gateway.errors.ConfigError: 1 problem in the config
      --set spike.quantle=0.9: spike.quantle is not a known key (did you mean 'quantile'?)
    """
    document, findings = read_document(text, name=name, overrides=overrides)
    config, faults = check_document(document)
    findings += faults
    if findings or config is None:
        ordered = sorted(findings, key=lambda finding: finding[0])
        raise ConfigError([problem for _, problem in ordered])
    return config


def check_document(document: Document) -> tuple[Config | None, list[Finding]]:
    """Return the config that a document makes, and every problem with it."""
    config, faults = _checked(document)
    breaches = find_breaches(Settings(document.values, faults.unsure))
    return config, [*faults.findings, *(_finding(item, document) for item in breaches)]


def _checked(document: Document) -> tuple[Config | None, Faults]:
    try:
        return Config.model_validate(document.values, context=READING), Faults([], frozenset())
    except ValidationError as error:
        return None, find_faults(error.errors(include_url=False), document)


def refusal_of(error: ValidationError, section: str, values: Mapping[str, Any]) -> GatewayError:
    """Put into words what is wrong with a section that was made in Python."""
    errors = [{**one, "loc": (section, *one["loc"])} for one in error.errors(include_url=False)]
    document = Document(section, {section: dict(values)}, {})
    faults = find_faults(cast(list[ErrorDetails], errors), document)
    told = (str(replace(problem, where=None)) for _, problem in faults.findings)
    return GatewayError("\n".join(told))


def _finding(breach: Breach, document: Document) -> Finding:
    place = _place(breach, document)
    return place, Problem(breach.what, breach.rule, breach.got, place.text, breach.hint)


def _place(breach: Breach, document: Document) -> Place:
    """Return where the user brought the keys together.

    An override came last and is the likely cause; else the first key that is written at
    all; else the table of the first one.
    """
    keys = [as_key(key) for key in breach.keys]
    written = [document.places[key] for key in keys if key in document.places]
    overridden = [place for place in written if place.override]
    fallback = document.place(keys[0] if keys else ())
    return next(iter([*overridden, *written]), fallback)
