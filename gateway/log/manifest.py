"""What a converted log says of itself: one JSON file beside its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from gateway.log.messages import complaint, shown
from gateway.log.ticks import Tick

__all__ = ["MANIFEST_FILE", "Manifest", "read_manifest", "write_manifest"]

MANIFEST_FILE = "manifest.json"
_FORMAT = "gateway join log, 3"
# What versions wrote whose logs were Parquet parts.
_PARTS = "gateway partitioned join log, "
_LARGEST = 2**24


@dataclass(frozen=True)
class Manifest:
    """A converted log.

    Parameters
    ----------
    tick, origin
        As in ``JoinLog``.
    last
        Last tick of all rows, repeated memberships included, since the origin.
    users, groups, joins
        How many there are; every membership counts once.
    rows
        Rows of the log that was converted.
    digests
        sha256 of each file, by name.
    """

    tick: Tick
    origin: int
    last: int
    users: int
    groups: int
    joins: int
    rows: int
    digests: Mapping[str, str]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    text = json.dumps({"format": _FORMAT} | asdict(manifest), indent=2, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: str | Path) -> Manifest | None:
    """Return the manifest of a folder; None for anything that is no converted log.

    Raises
    ------
    LogError
        If the manifest is that of another version, cannot be used, or names files that are
        missing.
    """
    place = Path(path) / MANIFEST_FILE
    content = _content(place) if place.is_file() else None
    if not isinstance(content, dict):
        return None
    noted = content.get("format")
    if not isinstance(noted, str) or not noted.startswith((_FORMAT[:-1], _PARTS)):
        return None
    if noted != _FORMAT:
        rule = f"must be of format {_FORMAT!r}: convert the log anew, with 'gateway convert'"
        raise complaint(path, "the converted log", rule, got=shown(noted))
    try:
        manifest = _manifest({key: value for key, value in content.items() if key != "format"})
    except (TypeError, ValueError) as error:
        rule = "cannot be used; was it changed by another program?"
        raise complaint(place, "the manifest", rule, got=str(error)) from error
    for name in manifest.digests:
        if not (Path(path) / name).is_file():
            raise complaint(path, f"the file {shown(name)}", "is in the manifest; it is missing")
    return manifest


def _content(place: Path) -> Any:
    """Return the JSON at a place; None for a file that is none."""
    try:
        if place.stat().st_size > _LARGEST:
            return None
        return json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        got = error.strerror or str(error)
        raise complaint(place, "the file", "cannot be read", got=got) from error
    except (ValueError, RecursionError):
        return None


def _manifest(content: Mapping[str, Any]) -> Manifest:
    manifest = Manifest(**content)
    if manifest.tick not in get_args(Tick):
        raise ValueError(f"unknown tick {manifest.tick!r}")
    for name in ("origin", "last", "users", "groups", "joins", "rows"):
        if type(getattr(manifest, name)) is not int:
            raise ValueError(f"{name} must be a whole number")
    if not isinstance(manifest.digests, dict):
        raise ValueError("digests must go by file")
    if any(Path(name).name != name for name in manifest.digests):
        raise ValueError("a column must be a file of the folder")
    return manifest
