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

from gateway._numba import at_first_compile
from gateway._processes import command_of
from gateway.config import Config, config_to_toml, parse_config
from gateway.errors import GatewayError

# A log in which every stage finds something to do, and a world as small.
_USERS, _GROUPS, _TARGETS, _JOINS, _DAYS = 600, 40, 5, 6_000, 500
_SMALL = (f"world.users={_USERS}",)
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
                command_of(__name__), stdin=subprocess.PIPE, text=True,
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
    # Loaded only now, since stdin may end while they take their seconds.
    import numpy as np  # noqa: PLC0415

    from gateway.counterfactual import measure_truth  # noqa: PLC0415
    from gateway.finding import run_detectors, score_where_needed  # noqa: PLC0415
    from gateway.log.join_log import JoinLog  # noqa: PLC0415
    from gateway.simulate import live_through  # noqa: PLC0415
    from gateway.talk import SILENT  # noqa: PLC0415
    from gateway.targets import TargetSet  # noqa: PLC0415
    from gateway.world import draw_world  # noqa: PLC0415

    config = parse_config(text)
    rng = np.random.default_rng(0)
    user, group, time = (rng.integers(most, size=_JOINS) for most in (_USERS, _GROUPS, _DAYS))
    joins = JoinLog.from_arrays(user, group, time, tick="day")
    targets = TargetSet(np.arange(_GROUPS) < _TARGETS, "the first groups")
    scores = score_where_needed(config, joins, targets, talk=SILENT)
    run_detectors(config, joins, targets, scores, talk=SILENT)
    # Last: by now the other process has compiled what simulates.
    config = parse_config(text, overrides=_SMALL)
    history = live_through(draw_world(config))
    joins = history.joins()
    measure_truth(
        history, np.arange(joins.n_groups) < _TARGETS, joins, section=config.truth, leads=True
    )


def _wait_for_end() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    try:
        _main()
    except GatewayError:
        sys.exit(2)
