"""The locks are closed: what a pinned package needs is pinned, so pip needs to look for nothing.

Read from the metadata of what is installed, without a network, for every supported Python and
system: markers and extras are evaluated as pip would there.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
# What a lock is made from (Makefile, `lock`): whether the package's own dependencies, a group.
LOCKS = {
    "requirements.txt": (True, "build"),
    "requirements-dev.txt": (True, "dev"),
    "requirements-browser.txt": (False, "browser"),
    "requirements-docs.txt": (False, "docs"),
}

Pins = dict[str, Requirement]


def _lock(name: str) -> Pins:
    """Read the pins of a lock, by canonical name."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    return {canonicalize_name(pin.name): pin for pin in pins}


def _group(name: str) -> list[str]:
    found: list[str] = []
    for entry in PROJECT["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else _group(entry["include-group"])
    return found


def _pinned(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


def _needed(name: str, version: str, extra: str) -> list[str]:
    """Tell what an installed distribution asks for; nothing where it belongs to another system."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return []
    assert found.version == version, f"{name} {found.version} is installed, {version} is pinned"
    return [text for text in found.requires or () if extra == "" or "extra" in text]


def _gaps(lock: Pins, roots: list[str], environment: dict[str, str]) -> list[str]:
    """Follow every requirement from the roots; name those that the lock does not meet."""
    gaps: list[str] = []
    waiting = [("the project", text, "") for text in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        asker, text, extra = waiting.pop()
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate(environment | {"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        pin = lock.get(name)
        if pin is None or (pin.marker and not pin.marker.evaluate(environment)):
            gaps.append(f"{asker} needs {text}: not pinned")
            continue
        version = _pinned(pin)
        if not wanted.specifier.contains(version, prereleases=True):
            gaps.append(f"{asker} needs {text}: {version} is pinned")
        for each in ("", *wanted.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                waiting += [(name, need, each) for need in _needed(name, version, each)]
    return gaps


def _environment(python: str, system: str) -> dict[str, str]:
    return SYSTEMS[system] | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "platform_machine": "AMD64" if system == "win32" else "x86_64",
    }


def _known(lock: Pins) -> None:
    """Skip a lock whose packages are not installed: their metadata is nowhere to be read."""
    for name, pin in lock.items():
        if pin.marker is None or pin.marker.evaluate():
            try:
                distribution(name)
            except PackageNotFoundError:
                pytest.skip(f"{name} is not installed: make browser docs")


@pytest.mark.parametrize("system", sorted(SYSTEMS))
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", sorted(LOCKS))
def test_lock__is_closed(name: str, python: str, system: str) -> None:
    lock = _lock(name)
    _known(lock)
    takes_own, group = LOCKS[name]
    roots = (PROJECT["project"]["dependencies"] if takes_own else []) + _group(group)
    # The locks of the browser and of the site are installed on top of the development lock.
    below = {} if takes_own else _lock("requirements-dev.txt")
    assert _gaps(below | lock, roots, _environment(python, system)) == []


def test_gaps__are_found() -> None:
    lock = _lock("requirements-dev.txt")
    environment = _environment("3.11", "linux")
    without = {name: pin for name, pin in lock.items() if name != "coverage"}
    older = lock | {"coverage": Requirement("coverage==1.0")}

    got = _gaps(without, ["pytest-cov"], environment)
    assert any(re.match(r"pytest-cov needs coverage\[toml\].*: not pinned", gap) for gap in got)
    # Another version than the pinned one is not read as if it were it.
    with pytest.raises(AssertionError, match=r"1\.0 is pinned"):
        _gaps(older, ["pytest-cov"], environment)


def test_locks__name_no_address() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text("utf-8")
        assert not re.search(r"://|file:|--(index|extra-index|find-links|trusted)", text), name


@pytest.mark.parametrize("path", ["Makefile", "noxfile.py"])
def test_install__takes_a_lock_for_all_there_is(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    hashed = [line for line in text.splitlines() if "--require-hashes" in line]
    assert hashed, "nothing is installed by hashes"
    assert all("--no-deps" in line for line in hashed)
