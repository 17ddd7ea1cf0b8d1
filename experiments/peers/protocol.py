"""How a peer is asked: a file of arrays in, one measured run of the work, a file of arrays out.

A script of this folder runs in its own environment and knows nothing of gateway. It names
its works and calls `serve`. What is loaded before the clock starts: the libraries, and the
input's arrays. `prepare` puts them into the library's own containers, untimed; what it takes
of the memory counts. Work that is quick is done once before, so that nobody is charged for
compiling or for the first touch of a library.

Call: python SCRIPT WORK INPUT.npz OUTPUT.npz
"""

from __future__ import annotations

import json
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
# Seconds above which work is not done a second time.
LONG = 20.0


def serve(works: Mapping[str, Prepare]) -> None:
    """Do what the command line asks for; print a line of JSON."""
    name, given, wanted = sys.argv[1:]
    with np.load(given) as file:
        arrays = {key: file[key] for key in file.files}
    base = resident_mib()
    restart_peak()
    work = works[name](arrays)
    seconds, answer = _timed(work)
    peak = peak_mib()
    if seconds < LONG:
        restart_peak()
        seconds, answer = _timed(work)
        peak = peak_mib()
    np.savez(Path(wanted), **{key: np.asarray(value) for key, value in answer.items()})
    print("\n" + json.dumps({"seconds": seconds, "mib": peak - base}))


def _timed(work: Callable[[], Mapping[str, Any]]) -> tuple[float, Mapping[str, Any]]:
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer
