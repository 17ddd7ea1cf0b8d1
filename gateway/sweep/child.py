"""The process in which points are computed; its supervisor starts it.

It reads tasks from stdin and answers on the descriptor that its argument names, one JSON
object a line. What it says otherwise goes to stderr, which its supervisor keeps in a file.
When stdin closes, the supervisor is gone, and the process ends at once: no orphan works on.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any


def main(answers: int, patience: float | None = None) -> None:
    """Answer tasks until stdin closes, or none has come for ``patience`` seconds."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    tasks: queue.Queue[str] = queue.Queue()
    # A thread reads, so that the end of stdin is seen while a point is computed.
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    # Loaded only now: the supervisor may close stdin while these take their seconds.
    from gateway.sweep.engines import Task  # noqa: PLC0415
    from gateway.sweep.running import run_task, warm_up  # noqa: PLC0415

    warm_up()
    _answer(answers, {"ready": os.getpid()})
    while True:
        try:
            line = tasks.get(timeout=patience)
        except queue.Empty:
            return
        _answer(answers, asdict(run_task(Task.from_json(json.loads(line)), _say)))


def _listen(tasks: queue.Queue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


def _answer(handle: int, content: dict[str, Any]) -> None:
    """Write one line, however many pieces the pipe takes it in."""
    rest = json.dumps(content).encode("ascii") + b"\n"
    while rest:
        rest = rest[os.write(handle, rest) :]


def _say(text: str) -> None:
    # What cannot be said costs no point: the disk of the log may be full.
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None)
