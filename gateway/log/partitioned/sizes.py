"""Amounts of memory: as people write them, and given back when they are not needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from gateway.errors import LogError
from gateway.log.messages import shown

__all__ = ["frugal_arrow", "give_back", "parse_size"]

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}iB": 2 ** (10 * k) for k, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}B": 10 ** (3 * k) for k, letter in enumerate("kMGT", start=1)}


def parse_size(text: str) -> int:
    """Return a number of bytes written as ``2GiB``, ``500MB`` or ``1000000``.

    Raises
    ------
    LogError
        If the text is no such amount.

    Examples
    --------
    >>> parse_size("2GiB"), parse_size("1.5MB")
    (2147483648, 1500000)
    """
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", text.strip())
    if found is None or found[2] not in _UNITS:
        rule = f"must be a number and one of {', '.join(filter(None, _UNITS))}, such as 2GiB"
        raise LogError(f"the memory {rule}; got {shown(text)}")
    return int(float(found[1]) * _UNITS[found[2]])


@contextmanager
def frugal_arrow() -> Iterator[None]:
    """Let Arrow take memory from the system, and give it back, rather than keep it."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)


def give_back() -> None:
    """Give memory that Arrow has freed back to the system."""
    pa.default_memory_pool().release_unused()
