"""The names that we give to what lies in a result or a sweep."""

from __future__ import annotations

import re

STATUS = "status.json"
CONFIG = "config.toml"
PROVENANCE = "provenance.json"
SWEEP = "sweep.toml"
METADATA = "ro-crate-metadata.json"
# What ``status.json`` says of a folder that is ours.
FORMAT = "gateway result, 1"

# A draft, and an older result that steps aside for it: ``.<name>.<8 random>.draft``.
DRAFT, ASIDE = ".draft", ".old"
DRAFT_MARKER = ".gateway-draft.json"

_MADE = re.compile(
    r"(config\.toml|(provenance|status|ro-crate-metadata)\.json|report\.html"
    r"|(traceback|log)\.txt|(analyses/)?[^/]+\.parquet|joins/part-\d+\.parquet"
    r"|figures/[^/]+\.(pdf|svg|png|csv)|tables/[^/]+\.tex)"
)
_TRANSIENT = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<kind>\.draft|\.old)")
_PARTIAL = re.compile(
    r"\.[^/]+\.(toml|parquet|json|html|tex|pdf|svg|png|csv)\.[a-z0-9_]{8}\.partial"
)
_KEY = re.compile(r"[0-9a-f]{16}")


def is_made(name: str) -> bool:
    """Tell whether a path below a result is one that we give to a file."""
    return _MADE.fullmatch(name) is not None and ".." not in name.split("/")


def is_key(name: str) -> bool:
    """Tell whether a name is that of a point: 16 hexadecimal digits."""
    return _KEY.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """Tell whether a name is that of a file which is being written."""
    return _PARTIAL.fullmatch(name) is not None


def transient(name: str) -> tuple[str, str] | None:
    """Return the result that a draft's or an older result's name is about, and its ending."""
    found = _TRANSIENT.fullmatch(name)
    return None if found is None else (found["name"], found["kind"])
