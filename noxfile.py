"""`make test` on every Python that is installed: `.venv/bin/nox`, or `nox -s tests-3.12`."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13"]


def install(session: nox.Session) -> None:
    session.install(
        *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--requirement", "requirements-dev.txt"),
    )
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Pytest; what follows `--` goes to it."""
    install(session)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Ruff, rules and format, and the layers."""
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session(python=PYTHONS)
def types(session: nox.Session) -> None:
    """Mypy --strict: the typed packages differ from one Python to another."""
    install(session)
    session.run("mypy", "--python-version", session.python)
