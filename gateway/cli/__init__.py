"""The command line: one thin command per job. stdout is data, stderr is talk.

Exit codes: 0 done; 1 a fault of ours; 2 wrong usage, config or data; 3 finished, some
points of a sweep failed; 4 a reproduced number is outside its tolerance; 130 and 143 for the
signals INT and TERM.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from gateway.cli.app import app
from gateway.cli.terminal import complain
from gateway.errors import GatewayError, speaking_of_options

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    _open_streams()
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _end_after_all
    try:
        with speaking_of_options():
            app()
    except GatewayError as error:
        complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except MemoryError as error:
        why = str(error) or "more was asked for than is free"
        complain(f"there is not enough memory: {why}")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our stdout has gone (``gateway ... | head``): nothing to report to.
        _drop_stdout()
        sys.exit(0)
    except OSError as error:
        # A disk that is full, under stdout or under a result: no fault of the program.
        _drop_stdout()
        complain(f"cannot write: {error.strerror or error}")
        sys.exit(1)


class _Unfailing(io.FileIO):
    """A file that takes everything, also where nothing can be written any more."""

    def write(self, content: Any) -> int:
        """Write as much as there is room for; the rest is lost."""
        with suppress(OSError):
            return super().write(content)
        return len(content)


def _open_streams() -> None:
    """See that there is a stdin, stdout and stderr, and that stderr takes what is said.

    Without them the next file that is opened would be one of them. A line of progress that
    cannot be written, as on a full disk, is no reason to lose a run.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        stream = io.BufferedWriter(_Unfailing(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(
            stream, encoding="utf-8", errors="backslashreplace", line_buffering=True
        )


def _drop_stdout() -> None:
    """Point stdout at nothing, so that its flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Leave through the normal exit, so that drafts are removed."""
    sys.exit(128 + number)


# How soon the end is asked for again, and after how long the process ends as it is. What it
# leaves then is that of a dead one, which the next start clears away.
_AGAIN_SECONDS, PATIENCE_SECONDS = 0.05, 10.0
_swallowed_at: list[float] = []


def _end_after_all(unraisable: Any) -> None:
    """Ask once more for the end where a callback of native code has swallowed it.

    The compiler calls back from native code, where an exception has nowhere to go: Python
    prints it and goes on.
    """
    kind = unraisable.exc_type
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(unraisable)
        return
    number = signal.SIGTERM if issubclass(kind, SystemExit) else signal.SIGINT
    _swallowed_at.append(time.monotonic())
    if _swallowed_at[-1] > _swallowed_at[0] + PATIENCE_SECONDS:
        os._exit(128 + number)
    timer = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
