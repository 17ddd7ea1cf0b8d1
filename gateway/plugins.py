"""What installed packages bring to be used by name: detectors and scorers.

A package says it in its ``pyproject.toml``::

    [project.entry-points."gateway.detectors"]
    largest = "my_package:largest"

The code of a package is its own: what it raises is said in a line that names it.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from gateway.errors import GatewayError, Problem

Kind = Literal["detector", "scorer"]
# A name is a key of a config, and a value of tables.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Plugin:
    """What an installed package brings under a name."""

    kind: Kind
    entry: EntryPoint

    @property
    def what(self) -> str:
        """How messages call it."""
        return f"{self.kind} {self.entry.name} ({self.package})"

    @property
    def package(self) -> str:
        """Name and version of the package."""
        package = self.entry.dist
        return "unknown package" if package is None else f"{package.name} {package.version}"

    def load(self) -> Any:
        """Import and return it.

        Raises
        ------
        GatewayError
            If its package cannot be imported, or has no such object.
        """
        with speaking_of(self.what):
            return self.entry.load()


def find_plugin(kind: Kind, name: str) -> Plugin | None:
    """Return what an installed package brings under a name; None where none does.

    Raises
    ------
    GatewayError
        If several packages bring something under this name.
    """
    if not _NAME.fullmatch(name):
        return None
    found = {e.value: Plugin(kind, e) for e in entry_points(group=f"gateway.{kind}s", name=name)}
    if len(found) > 1:
        packages = " and ".join(sorted(plugin.package for plugin in found.values()))
        rule = "must be brought by one package"
        raise GatewayError(str(Problem(f"{kind} {name}", rule, packages)))
    return next(iter(found.values()), None)


def plugin_names(kind: Kind) -> tuple[str, ...]:
    """Return the names that installed packages bring, sorted."""
    return tuple(sorted(filter(_NAME.fullmatch, entry_points(group=f"gateway.{kind}s").names)))


@contextmanager
def speaking_of(what: str) -> Iterator[None]:
    """Say in a line what the code of another package raises, and where.

    Raises
    ------
    GatewayError
        In place of any other exception, which is its cause.
    """
    try:
        yield
    except (GatewayError, MemoryError):
        raise
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        got = f"{type(error).__name__}: {error}"
        where = f"{Path(at.filename).name}, line {at.lineno}"
        raise GatewayError(str(Problem(what, "must not fail", got, hint=where))) from error
