"""How a side is asked: files of arrays in, measured runs of the work, a file of arrays out.

A peer's script runs in its own environment and knows nothing of gateway. It names its works
and calls `serve`. Nobody is charged for loading, compiling or a first touch: each side does
the work on a small input first, which loads what libraries load late and our compiled
kernels, and once on the input. Then the work is timed, several times where it is quick; the
median counts. `prepare` puts the arrays into a library's own containers, untimed. Memory is
the peak while working beyond what was resident with libraries, kernels and input loaded:
the containers count, what making them took does not. An answer may be a call that gives
it, which is made when all is measured.

Call: python SCRIPT WORK SMALL.npz INPUT.npz OUTPUT.npz
"""

from __future__ import annotations

import ctypes
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

__all__ = ["Arrays", "Prepare", "digest_of", "serve"]

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
    _give_back()
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
    found = {key: value() if callable(value) else value for key, value in answer.items()}
    np.savez(Path(wanted), **{key: np.asarray(value) for key, value in found.items()})
    print("\n" + json.dumps({"seconds": seconds, "mib": peak - base}))


def digest_of(user: np.ndarray, group: np.ndarray, time: np.ndarray) -> int:
    """Return a number that changes when a join does, or the order of a user's times.

    The order of the users is free: whole numbers may stand as text does.
    """
    # Of one user in one tick no order is known: there the joins' numbers add up.
    key = (user.astype(np.uint64) << np.uint64(32)) | time.astype(np.uint64)
    tick = np.cumsum(np.diff(key, prepend=key[:1]) != 0)
    starts = np.diff(user, prepend=user[:1] - 1) != 0
    place = (tick - np.maximum.accumulate(np.where(starts, tick, 0))).astype(np.uint64)
    factors = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
    mixed = (key * factors[0]) ^ ((group.astype(np.uint64) + np.uint64(1)) * factors[1])
    return int((mixed * (place * factors[0] | np.uint64(1))).sum() >> np.uint64(1))


def _give_back() -> None:
    """Give back to the system what making the containers took, where the C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _read(path: str) -> Arrays:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _timed(work: Callable[[], Mapping[str, Any]]) -> tuple[float, Mapping[str, Any]]:
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer
