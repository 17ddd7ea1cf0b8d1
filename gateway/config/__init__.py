"""Configs: read, checked, and written back."""

from __future__ import annotations

from gateway.config.dump import config_digest, config_to_toml
from gateway.config.load import parse_config
from gateway.config.points import Setting, Variant, Variants, parse_points
from gateway.config.schema import Config, LogSection
from gateway.config.shape import config_json_schema
from gateway.config.swept import SAMPLED, AxisSection, SweepSection

__all__ = [
    "SAMPLED",
    "AxisSection",
    "Config",
    "LogSection",
    "Setting",
    "SweepSection",
    "Variant",
    "Variants",
    "config_digest",
    "config_json_schema",
    "config_to_toml",
    "parse_config",
    "parse_points",
]
