"""A config as text: what a result carries, and what its name is made of."""

from __future__ import annotations

import hashlib
import json

import tomli_w

from gateway.config.schema import Config

__all__ = ["config_digest", "config_to_toml"]


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
