"""``gateway view``: serve the pages of a result until somebody ends it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from gateway.cli.terminal import TerminalTalk
from gateway.results import open_result
from gateway.view import Viewed, Viewer

__all__ = ["view_until_interrupted"]


def view_until_interrupted(folder: Path, *, port: int) -> None:
    """Print where the pages are, and serve them.

    The address is not handed to a browser: every user of the machine can read the arguments of
    a process, and the address holds the token.
    """
    result = open_result(folder)
    viewed = Viewed(result.tables(), result.config.experiment.name)
    with Viewer(viewed, port=port) as viewer, suppress(KeyboardInterrupt):
        TerminalTalk().say("open this address in a browser of this machine; Ctrl+C ends it")
        sys.stdout.write(f"{viewer.url}\n")
        sys.stdout.flush()
        viewer.serve()
