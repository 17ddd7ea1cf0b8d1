"""A gzip stream that refuses to grow beyond all measure."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import BinaryIO, cast

from gateway.log.messages import complaint

__all__ = ["open_gzip"]

# Join logs shrink five to thirty times. A stream of one byte repeated shrinks a thousand
# times: a few megabytes of it would fill the memory.
_LARGEST_RATIO = 200
_ALWAYS_ALLOWED = 1 << 28
_BUFFER = 1 << 20


def open_gzip(path: Path) -> BinaryIO:
    """Open a gzip file for reading; it may grow 200-fold, and to 256 MiB in any case.

    Raises
    ------
    LogError
        While reading, once the stream is longer than that.
    """
    allowed = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * path.stat().st_size)
    return cast("BinaryIO", io.BufferedReader(_Bounded(path, allowed), _BUFFER))


class _Bounded(io.RawIOBase):
    def __init__(self, path: Path, allowed: int) -> None:
        self._path, self._left, self._allowed = path, allowed, allowed
        self._stream = gzip.open(path, "rb")  # noqa: SIM115  (closed by close)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        got = self._stream.readinto(buffer)
        self._left -= got
        if self._left < 0:
            raise complaint(
                self._path,
                "the gzip stream",
                f"must not grow more than {_LARGEST_RATIO}-fold",
                got=f"more than {self._allowed:,} bytes from {self._path.stat().st_size:,}",
                hint="if it is a log after all, unpack it first",
            )
        return got

    def close(self) -> None:
        self._stream.close()
        super().close()
