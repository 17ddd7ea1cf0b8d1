"""Do things, disturbed before each of their calls to the disk in turn; look at what is left.

``python killed.py kill FOLDER ACTION ...``. Prints how often each was killed. A process for each
kill: it does the thing in a new folder and sends itself SIGKILL before its n-th call, n from 1
until it comes to the end. Then another process looks whether the old or the new is there, whole,
does the thing once more, undisturbed, and looks whether nothing else is left.

``python killed.py beside FOLDER ACTION ...``. The same, but before its n-th call it waits until
another process has done the same thing, or was refused, in the same place.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from gateway.errors import GatewayError
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.provenance import MODEL_VERSION
from gateway.results import draft_result, locks, open_result, settle
from gateway.sweep import EngineOptions, read_plan, run_sweep
from gateway.sweep.engines import Answer, Finished, Started, Task
from tests.worlds import SMALL

CALLS = ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "open", "write", "ftruncate",
         "link", "symlink")  # fmt: skip


def write(final: Path, text: str, *, replaces: str | None = None, config: str = SMALL) -> None:
    with draft_result(final, replaces=replaces) as draft:
        draft.write_text("config.toml", config)
        draft.write_text("figures/ranking.svg", text)
        draft.write_table("summary", pa.table({"key": ["a"], "value": [text]}))
        draft.write_table("evaluation", EVALUATION)
        draft.write_json("provenance.json", {"model_version": MODEL_VERSION})
        draft.write_status("run")


EVALUATION = pa.table(
    {"detector": ["spike"], "truth": ["planted"], "metric": ["average_precision"],
     "value": [0.5], "ci_low": [0.4], "ci_high": [0.6]}
)  # fmt: skip


def said(final: Path) -> str:
    """What a result says, having read every file of it."""
    result = open_result(final)
    text = result.tables()["summary"]["value"][0].as_py()
    assert (final / "figures/ranking.svg").read_text() == text
    assert result.config.experiment.name == "small"
    return str(text)


class Force:
    """``--force`` over an older result."""

    place = "r"

    def before(self, folder: Path) -> None:
        write(folder / "r", "old")

    def act(self, folder: Path) -> None:
        write(folder / "r", "new", replaces="run")

    def check(self, folder: Path) -> None:
        assert said(folder / "r") in {"old", "new"}

    def after(self, folder: Path) -> None:
        assert said(folder / "r") == "new"
        assert [p.name for p in folder.iterdir()] == ["r"]


class First(Force):
    """A first run: there is nothing, or the whole."""

    def before(self, folder: Path) -> None:
        pass

    def act(self, folder: Path) -> None:
        settle(folder, "r")
        if not (folder / "r").exists():
            write(folder / "r", "new")

    def check(self, folder: Path) -> None:
        settle(folder)
        if (folder / "r").exists():
            assert said(folder / "r") == "new"


class Redraw(Force):
    """Files of a result written anew, one by one."""

    def act(self, folder: Path) -> None:
        open_result(folder / "r").rewrite({"report.html": b"new", "tables/a.tex": b"new"})

    def check(self, folder: Path) -> None:
        assert said(folder / "r") == "old"
        for name in ("report.html", "tables/a.tex"):
            path = folder / "r" / name
            assert not path.exists() or path.read_text() == "new"

    def after(self, folder: Path) -> None:
        self.check(folder)
        assert (folder / "r/tables/a.tex").read_text() == "new"
        # Still ours: it can be replaced.
        write(folder / "r", "newest", replaces="run")


class Convert:
    """A log into a folder."""

    place = "parts"

    def before(self, folder: Path) -> None:
        rows = [f"u{i % 7},g{i % 5},{i}" for i in range(60)]
        (folder / "log.csv").write_text("user,group,time\n" + "\n".join(rows))

    def act(self, folder: Path) -> None:
        settle(folder, "parts")
        if (folder / "parts").exists():
            return
        with draft_result(folder / "parts") as draft:
            convert_log(folder / "log.csv", draft.folder, memory=2**26)

    def check(self, folder: Path) -> None:
        for place in folder.glob("parts*"):
            assert JoinLog.open(place).equals(JoinLog.read(folder / "log.csv"))

    def after(self, folder: Path) -> None:
        assert JoinLog.open(folder / "parts").equals(JoinLog.read(folder / "log.csv"))
        assert sorted(p.name for p in folder.iterdir()) == ["log.csv", "parts"]


class Sweep:
    """A sweep of three points, one of which fails."""

    place = "s"

    def before(self, folder: Path) -> None:
        swept = '[sweep.over]\n"world.users" = [700, 800, 900]\n'
        (folder / "s.toml").write_text(SMALL + swept)

    def act(self, folder: Path) -> None:
        with mock.patch("gateway.sweep.driver.run_tasks", compute):
            run_sweep(read_plan(folder / "s.toml"), folder=folder / "s",
                      options=EngineOptions("serial"))  # fmt: skip

    def check(self, folder: Path) -> None:
        for point in (folder / "s" / "points").glob("[!.]*"):
            if (point / "status.json").exists():
                assert said(point) == "point"

    def after(self, folder: Path) -> None:
        undisturbed = folder.with_name("undisturbed")
        if not undisturbed.exists():
            undisturbed.mkdir()
            self.before(undisturbed)
            self.act(undisturbed)
        assert tables(folder / "s") == tables(undisturbed / "s")
        assert len(list((folder / "s").glob("points/*"))) == 2
        assert not list((folder / "s").rglob("*.draft*")) + list((folder / "s").rglob("*.partial"))


def tables(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.parquet")}


def compute(tasks: list[Task], *_: object, **__: object) -> Any:
    for task in tasks:
        yield Started(task.key, "pid 1", 1)
        if "users = 900" in task.config:
            yield Finished(Answer(task.key, "failed", reason="as planned"))
        else:
            write(Path(task.folder), "point", config=task.config)
            yield Finished(Answer(task.key, "done"))


def in_a_process(work: Callable[[], object]) -> int:
    """Return how a process that does some work ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except GatewayError as error:
            code = REFUSED
            sys.stderr.write(f"{error}\n")
        finally:
            if code == 1:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


REFUSED = 2


def disturbed_at(n: int, work: Callable[[], object], disturb: Callable[[], object]) -> None:
    """Work until the n-th call to the disk, and be disturbed before it."""
    left = [n]

    def arm(call: Callable[..., Any]) -> Callable[..., Any]:
        def armed(*words: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                disturb()
            return call(*words, **options)

        return armed

    for name in CALLS:
        setattr(os, name, arm(getattr(os, name)))
    work()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work_beside(it: Any, folder: Path, n: int) -> bool:
    """Let another process do the same before the n-th call; tell whether there was one."""
    others: list[int] = []
    work = partial(it.act, folder)

    def both() -> None:
        disturbed_at(n, work, lambda: others.append(in_a_process(work)))
        assert others in ([], [0], [REFUSED]), others

    def tell() -> None:
        try:
            both()
        finally:
            (folder.with_suffix(".others")).write_text(f"{len(others)}")

    ended = in_a_process(tell)
    assert ended in {0, REFUSED}, (n, ended)
    return folder.with_suffix(".others").read_text() != "0"


def look_beside(it: Any, folder: Path) -> None:
    """Look whether what two have written is whole, and nothing is left but what they kept."""
    it.check(folder)
    assert (folder / it.place).exists()
    made = {path.name for path in folder.iterdir()} - {"log.csv", "s.toml"}
    kept = made - {it.place}
    assert all(name.startswith(f"{it.place}-") for name in kept), made
    if it.place == "r":
        assert {said(folder / name) for name in kept} <= {"new", "old"}
    if it.place == "s":
        it.after(folder)


def looked_at(it: Any, folder: Path) -> None:
    """Look at what is left, do the thing once more, and look whether nothing else is left."""
    it.check(folder)
    it.act(folder)
    it.after(folder)


ACTIONS = {"force": Force, "first": First, "redraw": Redraw, "convert": Convert, "sweep": Sweep}


def count_disturbed(how: str, it: Any, root: Path) -> int:
    """Disturb at every call in turn; return how many there were."""
    old = root / "old"
    old.mkdir(parents=True)
    # In a process of its own: threads do not outlive a fork.
    assert in_a_process(partial(it.before, old)) == 0
    for n in count(1):
        folder = Path(shutil.copytree(old, root / f"{n}"))
        if how == "beside":
            was_disturbed = work_beside(it, folder, n)
            look = look_beside
        else:
            work = partial(disturbed_at, n, partial(it.act, folder), die)
            ended = in_a_process(work)
            assert ended in {0, -signal.SIGKILL}, (n, ended)
            was_disturbed, look = ended != 0, looked_at
        assert in_a_process(partial(look, it, folder)) == 0, n
        if not was_disturbed:
            return n - 1
    raise AssertionError


def main(how: str, root: Path, actions: list[str]) -> None:
    if how == "beside":
        locks.PATIENCE_SECONDS = 0.02
    counts = {name: count_disturbed(how, ACTIONS[name](), root / name) for name in actions}
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
