"""How a side is asked: files of arrays in, measured runs of the work, a file of arrays out.

A peer's script runs in its own environment and knows nothing of gateway. It names its works
and calls `serve`. Nobody is charged for loading, compiling or a first touch: each side does
the work on a small input first, which loads what libraries load late and our compiled
kernels, and once on the input. Then the work is timed, several times where it is quick; the
median counts. `prepare` puts the arrays into a library's own containers, untimed. Memory is
the peak while working beyond what was resident with libraries, kernels and input loaded:
the containers count, what making them took does not.

Call: python SCRIPT WORK SMALL.npz INPUT.npz OUTPUT.npz
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.memory import peak_mib, resident_mib, restart_peak

__all__ = ["Arrays", "Prepare", "serve"]

Arrays = dict[str, np.ndarray]
# Takes the input, gives the work; the work gives the answer.
Prepare = Callable[[Arrays], Callable[[], Mapping[str, Any]]]
# Seconds above which work is not done a second time; quick work is done until it took so
# many seconds, at most so often.
LONG, ENOUGH, OFTEN = 5.0, 1.0, 9


def serve(works: Mapping[str, Prepare]) -> None:
    """Do what the command line asks for; print a line of JSON."""
    name, small, given, wanted = sys.argv[1:]
    works[name](_read(small))()
    gc.collect()
    arrays = _read(given)
    base = resident_mib()
    work = works[name](arrays)
    restart_peak()
    seconds, answer = _timed(work)
    if seconds < LONG:
        times: list[float] = []
        while sum(times) < ENOUGH and len(times) < OFTEN:
            # What an earlier time left behind counts for nobody.
            del answer
            gc.collect()
            seconds, answer = _timed(work)
            times.append(seconds)
        seconds = statistics.median(times)
    peak = peak_mib()
    np.savez(Path(wanted), **{key: np.asarray(value) for key, value in answer.items()})
    print("\n" + json.dumps({"seconds": seconds, "mib": peak - base}))


def _read(path: str) -> Arrays:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _timed(work: Callable[[], Mapping[str, Any]]) -> tuple[float, Mapping[str, Any]]:
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer
