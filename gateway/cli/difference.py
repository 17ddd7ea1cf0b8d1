"""``gateway compare``: which settings and which results differ."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.terminal import clean, print_table
from gateway.sweep import FolderComparison, compare_folders

__all__ = ["show_comparison"]

SHOWN = 20


def show_comparison(first: Path, second: Path, *, as_json: bool) -> None:
    """Print what two runs or two sweeps do not share."""
    found = compare_folders(first, second)
    if as_json:
        text = json.dumps(_plain(asdict(found)), indent=2, default=str, ensure_ascii=False)
        sys.stdout.write(text + "\n")
        return
    _show_keys(found)
    _show_values(found)
    for which, only in (("first", found.only_first), ("second", found.only_second)):
        if only:
            sys.stdout.write(f"{len(only):,} values are only in the {which}\n")
    if found.files:
        sys.stdout.write(f"{len(found.files):,} tables and figures are not the same bytes\n")


def _show_keys(found: FolderComparison) -> None:
    if not found.keys:
        sys.stdout.write("the configs are the same\n")
        return
    rows = [[k.key, _said(k.first), _said(k.second)] for k in found.keys]
    print_table(f"{len(rows)} keys of the configs differ", ["key", "first", "second"], rows)


def _show_values(found: FolderComparison) -> None:
    if not found.values:
        sys.stdout.write(f"all {found.n_values:,} values are the same\n")
        return
    title = f"{len(found.values):,} of {found.n_values:,} values differ"
    if len(found.values) > SHOWN:
        title += f"; the {SHOWN} largest differences"
    rows = [
        [
            " ".join(filter(None, (v.point, v.detector, v.truth, v.metric))),
            _interval(v.first), _interval(v.second), _interval(v.difference),
        ]
        for v in found.values[:SHOWN]
    ]  # fmt: skip
    print_table(title, ["value", "first", "second", "difference"], rows)


def _interval(value: tuple[float, float, float]) -> str:
    middle, low, high = value
    return f"{middle:.4g}" if math.isnan(low) else f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _said(value: Any) -> str:
    return "-" if value is None else clean(str(value))


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
