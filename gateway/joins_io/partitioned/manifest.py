"""What a partitioned log says of itself: one JSON file beside its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.joins_io.messages import complaint, shown
from gateway.joins_io.paths import unreadable
from gateway.joins_io.ticks import Tick

__all__ = ["GROUPS_FILE", "MANIFEST_FILE", "Manifest", "PartFacts", "read_manifest",
           "users_file", "write_manifest"]  # fmt: skip

MANIFEST_FILE = "manifest.json"
# The underscore tells other programs, and ``parquet_parts``, that it holds no joins.
GROUPS_FILE = "_groups.parquet"
# By whether files beside the parts tell their users: older versions cannot read those.
_FORMATS = {False: "gateway partitioned join log, 1", True: "gateway partitioned join log, 2"}
_LARGEST = 2**28


@dataclass(frozen=True)
class PartFacts:
    """One part: the users ``first_user`` to ``last_user`` in order of their names.

    Parameters
    ----------
    file
        Name of the file in the folder.
    first_user, last_user
        Names, both included.
    users, joins
        How many the part holds.
    digest
        sha256 of the file.
    users_digest
        sha256 of the file beside it that tells its users, where there is one.
    """

    file: str
    first_user: str
    last_user: str
    users: int
    joins: int
    digest: str
    users_digest: str | None = None

    @property
    def tells_users(self) -> bool:
        """Whether a file beside the part tells its users."""
        return self.users_digest is not None


def users_file(part: str) -> str:
    """Return the name of the file beside a part that tells its users."""
    return f"_users-{part.removeprefix('part-')}"


@dataclass(frozen=True)
class Manifest:
    """A partitioned log.

    Parameters
    ----------
    tick, origin
        Unit of time; the first tick of the log since 1970-01-01 (or 0).
    last, last_join
        On the same scale, last tick of all rows, repeated memberships included, and of the
        joins that count.
    users, groups, joins
        How many there are; every membership counts once.
    rows
        Rows of the log that was converted.
    joins_per_part
        A part ends with the user with whom it reaches so many joins.
    groups_digest
        sha256 of the dictionary of groups.
    parts
        In order of their users.
    first_join
        On the scale of ``last``; None where it is the origin.
    """

    tick: Tick
    origin: int
    last: int
    last_join: int
    users: int
    groups: int
    joins: int
    rows: int
    joins_per_part: int
    groups_digest: str
    parts: Sequence[PartFacts]
    first_join: int | None = None

    @property
    def tells_users(self) -> bool:
        """Whether the log says more of its users than their joins."""
        return bool(self.parts) and self.parts[0].tells_users


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    content = {"format": _FORMATS[manifest.tells_users]} | _without_none(asdict(manifest))
    content["parts"] = [_without_none(asdict(part)) for part in manifest.parts]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


def read_manifest(path: str | Path) -> Manifest | None:
    """Return the manifest of a folder; None for anything that is no partitioned log.

    Raises
    ------
    LogError
        If the manifest is there and cannot be used, or names files that are missing.
    """
    place = Path(path) / MANIFEST_FILE
    content = _content(place) if place.is_file() else None
    known = _FORMATS[False][:-1]
    if not isinstance(content, dict) or not str(content.get("format")).startswith(known):
        return None
    if content["format"] not in _FORMATS.values():
        rule = f"must be of format {_FORMATS[True]!r}; another version of gateway wrote it"
        raise complaint(place, "the partitioned log", rule, got=shown(content["format"]))
    try:
        manifest = _manifest(content)
    except (KeyError, TypeError, ValueError) as error:
        rule = "cannot be used; was it changed by another program?"
        raise complaint(place, "the manifest", rule, got=str(error)) from error
    users = (users_file(part.file) for part in manifest.parts if part.tells_users)
    for name in (GROUPS_FILE, *(part.file for part in manifest.parts), *users):
        if not (Path(path) / name).is_file():
            raise complaint(path, f"the part {shown(name)}", "is in the manifest; it is missing")
    return manifest


def _without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}


def _content(place: Path) -> Any:
    """Return the JSON at a place; None for a file that is none."""
    try:
        if place.stat().st_size > _LARGEST:
            return None
        return json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(place, error) from error
    except (ValueError, RecursionError):
        return None


def _manifest(content: Mapping[str, Any]) -> Manifest:
    parts = tuple(PartFacts(**part) for part in content["parts"])
    if any(Path(part.file).name != part.file for part in parts):
        raise ValueError("a part must be a file of the folder")
    fields = {key: value for key, value in content.items() if key not in ("format", "parts")}
    manifest = Manifest(**fields, parts=parts)
    if manifest.joins != sum(part.joins for part in parts) or not parts:
        raise ValueError("joins must be those of the parts together")
    if manifest.tick not in ("day", "second", "integer"):
        raise ValueError(f"unknown tick {manifest.tick!r}")
    first = manifest.origin if manifest.first_join is None else manifest.first_join
    if not first <= manifest.last_join <= manifest.last <= first + 2**31 - 1:
        raise ValueError("the log must not end before it begins")
    return manifest
