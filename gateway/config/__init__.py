"""Configs: read, checked, and written back."""

from __future__ import annotations

from gateway.config.dump import config_digest, config_to_toml
from gateway.config.load import parse_config
from gateway.config.schema import Config
from gateway.config.shape import config_json_schema

__all__ = ["Config", "config_digest", "config_json_schema", "config_to_toml", "parse_config"]
