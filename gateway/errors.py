"""What a user can get wrong, said in a way that helps to put it right.

Every message names *what* was given, the *rule* it broke and the *value* that
broke it. The command line prints these errors without a traceback and ends with
exit code 2; anything else that escapes is a fault of ours and ends with 1.

Names and values come from strangers' files. They are shown as Python literals, so that
a control character or a change of writing direction cannot reach the terminal, and cut
when they are long.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice

_LONGEST = 60
_CANDIDATES = 20_000
_of_options = ContextVar("of_options", default=False)


@dataclass(frozen=True)
class Problem:
    """One broken rule.

    Parameters
    ----------
    what
        The thing that is wrong, in the user's words: ``spike.quantile``, ``column 'time'``.
    rule
        What holds for it: ``must be in (0, 1)``.
    got
        The offending value as text, or None where there is none (a missing key).
    where
        ``file:line`` if known.
    hint
        A way out, for example ``did you mean 'quantile'?``.
    """

    what: str
    rule: str
    got: str | None = None
    where: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        value = f"; got {self.got}" if self.got is not None else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what} {self.rule}{value}{hint}"


@contextmanager
def speaking_of_options() -> Iterator[None]:
    """Let messages name options of the command line where they name arguments of a call."""
    token = _of_options.set(True)
    try:
        yield
    finally:
        _of_options.reset(token)


def either(argument: str, option: str) -> str:
    """Return how what the user gave is called: the argument in Python, else the option.

    Examples
    --------
    >>> either("folder=", "--out")
    'folder='
    """
    return option if _of_options.get() else argument


def shown(value: object) -> str:
    r"""Return a value as a literal of at most some 60 characters.

    Examples
    --------
    >>> print(shown("two\nlines"))
    'two\nlines'
    """
    literal = repr(value)
    if len(literal) <= _LONGEST:
        return literal
    return f"{literal[:_LONGEST]}... ({len(str(value))} characters)"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name most like ``name``, or None; case, hyphens and spaces are ignored.

    Only names of such a length that they can be alike are compared, and at most 20,000 of
    them: an error message should not take longer than the work. ``cutoff``: difflib's least
    ratio.

    Examples
    --------
    >>> nearest("Log-Odds", ["absolute", "log_odds"])
    'log_odds'
    """
    wanted, pool = _folded(name), {_folded(each): each for each in reversed(list(known))}
    if wanted in pool:
        return pool[wanted]
    n = len(wanted)
    close = (k for k in reversed(pool) if 2 * min(len(k), n) >= cutoff * (len(k) + n))
    found = difflib.get_close_matches(wanted, list(islice(close, _CANDIDATES)), 1, cutoff)
    return pool[found[0]] if found else None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the hint that names what may have been meant, or None; as ``nearest``."""
    found = nearest(name, known, cutoff=cutoff)
    return None if found in (None, name) else f"did you mean {shown(found)}?"


class GatewayError(Exception):
    """A mistake in what the user gave us. Ends a command with exit code 2."""


class AssumptionWarning(UserWarning):
    """A check of a method's assumptions failed on the log: what it finds may mislead."""


class ConfigError(GatewayError):
    """A config that breaks one or more rules; ``problems`` holds every one of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the config"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class LogError(GatewayError):
    """A join log, or a target list, that cannot be used as it is."""


class NobodyToCompareError(LogError):
    """A log in which (nearly) everybody joins a target: nobody is left to compare them with."""


class ResultError(GatewayError):
    """A stored result that is missing, incomplete, or not what it claims to be."""


def unknown(what: str, rule: str, name: object, known: Iterable[str]) -> GatewayError:
    """Return the error for a name that is not among the known ones, with which may be meant."""
    hint = did_you_mean(name, known) if isinstance(name, str) else None
    return GatewayError(str(Problem(what, rule, shown(name), hint=hint)))
