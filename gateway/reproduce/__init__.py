"""Every claim of the README's table, computed anew and held against what is claimed.

The claims stand in ``claims.toml``: in words, which number of which run they are, what it
is expected to be, and how far off it may be for which reason.
"""

from __future__ import annotations

from gateway.reproduce.claims import Claim, claims_as_markdown, read_claims
from gateway.reproduce.judging import CLAIMS_SCHEMA, Reproduction, reproduce_claims

__all__ = [
    "CLAIMS_SCHEMA",
    "Claim",
    "Reproduction",
    "claims_as_markdown",
    "read_claims",
    "reproduce_claims",
]
