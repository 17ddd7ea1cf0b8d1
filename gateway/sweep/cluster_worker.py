"""What runs on a worker of a Dask cluster.

Dask starts its workers without a word on numba's or BLAS's threads, and runs tasks in
threads, on which numba's simplest threading layer aborts. So a point is computed in a
child of the worker, with an environment of its own, watched over as on one machine. It
needs no shared disk: the result travels back as bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import asdict, replace
from typing import Any

import distributed

from gateway._cache import of_this_machine
from gateway._numba import processor_features
from gateway.provenance import arithmetic, cpu_name, result_versions
from gateway.results import result_files, scratch_folder
from gateway.sweep.engines import Answer, ChildDeathError, Task
from gateway.sweep.processes import ATTEMPTS, Child, late_answer

TOPIC = "gateway-points"
# Children of a sweep whose driver is gone do not stay for ever.
IDLE_SECONDS = 120.0

_idle: list[Child] = []
_guard = threading.Lock()


def report_versions() -> dict[str, Any]:
    """Return what must be the same on every machine of a sweep.

    Libraries that use other instructions of the processor round otherwise, in the last digits
    of some sums.
    """
    features = hashlib.sha256(processor_features().encode()).hexdigest()[:8]
    processor = f"{cpu_name()}, features {features}, {arithmetic()}"
    return {**result_versions(), "distributed": distributed.__version__, "processor": processor}


def compute(
    values: dict[str, Any], *, threads: int, time_limit: float | None, versions: dict[str, Any]
) -> dict[str, Any]:
    """Compute one point; return the answer and the files of its result.

    A worker that joined late with other versions refuses.
    """
    task = Task.from_json(values)
    mine = report_versions()
    if mine != versions:
        reason = f"a worker has other versions: {mine} instead of {versions}"
        return {"answer": asdict(Answer(task.key, "stopped", reason=reason)), "files": {}}
    with scratch_folder() as scratch:
        local = replace(task, folder=str(scratch / task.key))
        answer = _compute(local, threads=threads, time_limit=time_limit)
        files = result_files(scratch / task.key) if answer.state == "done" else {}
    return {"answer": asdict(answer), "files": files}


def dismiss() -> None:
    """End the children that wait for more."""
    with _guard:
        while _idle:
            _idle.pop().kill()


def _compute(task: Task, *, threads: int, time_limit: float | None) -> Answer:
    died = log = ""
    for _ in range(ATTEMPTS):
        child = _hire(threads)
        _tell({"event": "started", "key": task.key, "pid": child.pid})
        try:
            child.give(task, time_limit=time_limit)
            answer = child.wait()
        except ChildDeathError as error:
            died, log = str(error), child.log()
            child.kill()
            _tell({"event": "lost", "key": task.key, "reason": died})
            continue
        if answer is None:
            answer = late_answer(child, task, time_limit)
            child.kill()
            return answer
        with _guard:
            _idle.append(child)
        return answer
    reason = f"{died}; so were {ATTEMPTS} workers with this point"
    return Answer(task.key, "failed", reason=reason, log=log)


def _hire(threads: int) -> Child:
    """Return a child that is ready: one that waits, or a new one."""
    with _guard:
        while _idle:
            child = _idle.pop()
            if child.is_alive:
                return child
            child.kill()
    if "NUMBA_CACHE_DIR" not in os.environ and "GATEWAY_CACHE_DIR" not in os.environ:
        os.environ["GATEWAY_CACHE_DIR"] = str(of_this_machine())
    child = Child(threads=threads, patience=IDLE_SECONDS)
    child.wait()
    return child


def _tell(facts: dict[str, Any]) -> None:
    worker = distributed.get_worker()
    worker.log_event(TOPIC, {**facts, "worker": worker.address})
