"""The command line: one thin command per job. stdout is data, stderr is talk.

Exit codes: 0 done; 1 a fault of ours; 2 wrong usage, config or data; 3 finished, some
points of a sweep failed; 4 a reproduced number is outside its tolerance; 130 and 143 for the
signals INT and TERM.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from gateway.cli.app import app
from gateway.cli.terminal import complain
from gateway.errors import GatewayError, speaking_of_options

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with speaking_of_options():
            app()
    except GatewayError as error:
        complain(str(error))
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our stdout has gone (``gateway ... | head``): nothing to report to.
        _drop_stdout()
        sys.exit(0)
    except OSError as error:
        # A disk that is full, under stdout or under a result: no fault of the program.
        _drop_stdout()
        complain(f"cannot write: {error.strerror or error}")
        sys.exit(1)


def _drop_stdout() -> None:
    """Point stdout at nothing, so that its flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Leave through the normal exit, so that drafts are removed."""
    sys.exit(128 + number)
