"""The process in which points are computed: ``python -m gateway.sweep.child``.

It reads tasks from stdin and answers on the descriptor that its argument names, one JSON
object a line. What it says otherwise goes to stderr, which its supervisor keeps in a file.
When stdin closes, the supervisor is gone, and the process ends at once: no orphan works on.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any

__all__ = ["main"]


def main(answers: int) -> None:
    """Answer tasks until stdin closes."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    tasks: queue.Queue[str] = queue.Queue()
    # A thread reads, so that the end of stdin is seen while a point is computed.
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    # Loaded only now: the supervisor may close stdin while these take their seconds.
    from gateway.sweep.tasks import Task, run_task  # noqa: PLC0415
    from gateway.sweep.warming import versions, warm_up  # noqa: PLC0415

    warm_up()
    _answer(answers, {"ready": versions()})
    while True:
        task = Task.from_json(json.loads(tasks.get()))
        _answer(answers, asdict(run_task(task, _say)))


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
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
