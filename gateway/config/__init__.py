"""Configs: read, checked, and written back."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import tomli_w

from gateway.config.document import read_document
from gateway.config.schema import Config, LogSection
from gateway.config.shape import json_schema
from gateway.config.swept import SAMPLED, AxisSection, SweepSection
from gateway.config.validation import check_document, config_error

__all__ = ["SAMPLED", "AxisSection", "Config", "LogSection", "SweepSection", "config_digest",
           "config_json_schema", "config_to_toml", "parse_config"]  # fmt: skip


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
    config, faults = check_document(Config, document)
    findings += faults
    if findings or config is None:
        raise config_error(findings)
    return config


def config_to_toml(config: Config) -> str:
    """Return the config as TOML with every default written out.

    Keys without a value are left out, which TOML cannot write; reading the text gives an
    equal config.
    """
    return tomli_w.dumps(config.model_dump(exclude_none=True))


def config_digest(config: Config) -> str:
    """Return the sha256 of the config, in hexadecimal.

    Equal configs have equal digests, however they were written: it is taken over their
    JSON with every default, sorted keys and no blanks.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config, for editors and other tools.

    It knows every key, its range, its default and its meaning; rules that tie two keys
    together are checked by :func:`gateway.config.parse_config` alone.
    """
    return copy.deepcopy(json_schema(Config))
