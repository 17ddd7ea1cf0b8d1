"""Configs: read, checked, and written back."""

from __future__ import annotations

from gateway.config.load import (
    config_digest,
    config_json_schema,
    config_to_toml,
    parse_config,
)
from gateway.config.schema import Config, LogSection
from gateway.config.swept import SAMPLED, AxisSection, SweepSection

__all__ = ["SAMPLED", "AxisSection", "Config", "LogSection", "SweepSection", "config_digest",
           "config_json_schema", "config_to_toml", "parse_config"]  # fmt: skip
