"""Compile what a run will need in a second process, while the first one simulates.

A first run spends more time on compiling than on its work, and most of that on kernels of
later stages. The other process only fills numba's cache: nothing of what it computes is used,
and whether it gets far changes no result.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from gateway._numba import at_first_compile
from gateway.config import Config, config_to_toml, parse_config
from gateway.counterfactual import measure_truth
from gateway.errors import GatewayError
from gateway.finding import run_detectors, score_where_needed
from gateway.log.join_log import JoinLog
from gateway.simulate import live_through
from gateway.talk import SILENT
from gateway.targets import TargetSet
from gateway.world import draw_world

__all__ = ["compiling_ahead"]

# Of the log: large enough for every stage to have something to do.
_USERS, _GROUPS, _JOINS, _DAYS = 600, 40, 6_000, 500
_SMALL = ("world.users=400",)
_END = "# end\n"


@contextmanager
def compiling_ahead(config: Config) -> Iterator[None]:
    """Let a second process compile, from the first kernel that is missing on.

    It ends with the block, and with this process, however that ends. On one core, or where a
    log is read and not simulated, there is none.
    """
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        started.append(
            subprocess.Popen(  # noqa: S603  (this module)
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        pipe = started[0].stdin
        if pipe is not None:
            pipe.write(config_to_toml(config) + "\n" + _END)
            pipe.flush()

    if config.world is None or (os.cpu_count() or 1) < 2:
        yield
        return
    try:
        with at_first_compile(start):
            yield
    finally:
        for process in started:
            process.terminate()
            process.communicate()


def _main() -> None:
    """Compile what the config on stdin needs; end as soon as stdin does."""
    text = "".join(iter(sys.stdin.readline, _END))
    threading.Thread(target=_wait_for_end, daemon=True).start()
    config = parse_config(text)
    rng = np.random.default_rng(0)
    user, group = rng.integers(_USERS, size=_JOINS), rng.integers(_GROUPS, size=_JOINS)
    joins = JoinLog.from_arrays(user, group, rng.integers(_DAYS, size=_JOINS), tick="day")
    targets = TargetSet(np.arange(_GROUPS) < 5, "")
    scores = score_where_needed(config, joins, targets, talk=SILENT)
    run_detectors(config, joins, targets, scores, talk=SILENT)
    # Last: by now the other process has compiled what simulates.
    history = live_through(draw_world(parse_config(text, overrides=_SMALL)))
    joins = history.joins()
    mask = np.arange(joins.n_groups) < 5
    measure_truth(history, mask, joins, section=config.truth)


def _wait_for_end() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    try:
        _main()
    except GatewayError:
        sys.exit(2)
