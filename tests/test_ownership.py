"""No file of a user is lost: what is not ours is neither removed nor written over.

Each test lays a stranger's file, folder or link where the program removes or writes, and
finds it again afterwards, byte for byte.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from gateway.__main__ import main
from gateway.errors import ResultError
from gateway.provenance import MODEL_VERSION
from gateway.results import (
    Failure,
    Journal,
    Result,
    SweepFolder,
    draft_result,
    load_config,
    open_result,
    result_id,
    settle,
)
from gateway.results.ownership import hold_draft, owned_files, strangers
from gateway.results.writing import DRAFT_MARKER, is_made
from tests.worlds import SMALL

ROOT = Path(__file__).parents[1]
KEY = "0123456789abcdef"
CONFIG = '[experiment]\nname = "x"\n[sweep.over]\n"world.users" = [100, 200]\n'
RUN = SMALL
LOG = "user,group,time\na,g,1\na,t,2\nb,g,1\n"


def make(final: Path, text: str = "old", *, replaces: str | None = None) -> Path:
    """A small result."""
    with draft_result(final, replaces=replaces) as draft:
        draft.write_text("config.toml", RUN)
        draft.write_text("log.txt", text)
        draft.write_text("figures/ranking.svg", text)
        draft.write_table("summary", pa.table({"key": ["a"], "value": ["b"]}))
        made_by = {"model_version": MODEL_VERSION, "finished": "2026-01-01T00:00:00+00:00"}
        draft.write_json("provenance.json", made_by)
        draft.write_status("run")
    return final


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder, links as what they say."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found


def place(path: Path, text: str = "mine") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """The command line in this process: exit code and what it complains of."""
    monkeypatch.chdir(tmp_path)
    place(tmp_path / "log.csv", LOG)
    place(tmp_path / "run.toml", RUN)
    place(tmp_path / "sweep-config.toml", RUN + '[sweep.over]\n"world.users" = [100, 200]\n')

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gateway", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().err

    return run


WRITERS = {
    "run": ("run", "run.toml"),
    "run --force": ("run", "run.toml", "--force"),
    "detect": ("detect", "log.csv", "--target", "t"),
    "detect --force": ("detect", "log.csv", "--target", "t", "--force"),
    "convert": ("convert", "log.csv"),
    "simulate": ("simulate", "run.toml"),
    "sweep": ("sweep", "sweep-config.toml"),
}
FOREIGN = {
    "status": {"status.json": '{"state": "done"}', "thesis.tex": "years"},
    "status and config": {"status.json": "{}", "config.toml": RUN, "thesis.tex": "years"},
    "lock": {"lock": "of another program", "a.txt": "mine"},
    "points": {"points/.git/HEAD": "ref", "points/0123456789abcdef/a.txt": "mine"},
    "config of a sweep": {"sweep.toml": CONFIG},
    "hidden": {".hidden": "mine"},
}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("what", FOREIGN)
def test_out__refuses_a_folder_of_somebody_else(answer, tmp_path, monkeypatch, command, what):
    monkeypatch.setattr("gateway.pipeline.obtain_inputs", never)
    monkeypatch.setattr("gateway.cli.own_logs.convert_log", never)
    monkeypatch.setattr("gateway.sweep.driver.run_tasks", never)
    for name, text in FOREIGN[what].items():
        place(tmp_path / "d" / name, text)
    before = tree(tmp_path)
    code, said = answer(*WRITERS[command], "--out", "d")
    assert code == 2, said
    assert "error: d " in said
    assert tree(tmp_path) == before


def never(*_, **__):
    raise AssertionError("it was computed")


@pytest.mark.parametrize(
    "name", ["notes.txt", "figures/mine.png", "extra.parquet", "new/empty/", "tables/", ".git/HEAD"]
)
def test_force__refuses_a_result_with_a_strangers_file_and_names_it(
    answer, tmp_path, monkeypatch, name
):
    monkeypatch.setattr("gateway.pipeline.obtain_inputs", never)
    make(tmp_path / "r")
    if name.endswith("/"):
        (tmp_path / "r" / name).mkdir(parents=True)
    else:
        place(tmp_path / "r" / name)
    before = tree(tmp_path)
    code, said = answer("run", "run.toml", "--force", "--out", "r")
    assert code == 2
    assert f"'{name.split('/')[0]}" in said
    assert tree(tmp_path) == before


def test_force__does_not_replace_a_result_of_another_kind(answer, tmp_path):
    with draft_result(tmp_path / "r") as draft:
        draft.write_text("config.toml", RUN)
        draft.write_status("simulation")
    before = tree(tmp_path)
    code, said = answer("run", "run.toml", "--force", "--out", "r")
    assert code == 2
    assert "holds a simulation" in said
    assert tree(tmp_path) == before


def test_status__cannot_make_foreign_names_ours(tmp_path):
    """A list from a stranger may name anything; only names that we give count."""
    folder = make(tmp_path / "r")
    status = json.loads((folder / "status.json").read_text())
    status["written"] += ["notes.txt", "../outside.txt", "figures/../../outside.csv", ".git/HEAD"]
    place(folder / "status.json", json.dumps(status))
    for name in ("r/notes.txt", "outside.txt", "outside.csv", "r/.git/HEAD"):
        place(tmp_path / name)
    assert not {n for n in owned_files(folder) if n.startswith(".") or ".." in n}
    assert strangers(folder, owned_files(folder)) == [".git", "notes.txt"]
    with pytest.raises(ResultError, match=r"\.git"):
        make(folder, "new", replaces="run")
    assert (tmp_path / "outside.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("analyses/pathways.parquet", True), ("joins/part-00000.parquet", True),
        ("figures/ranking.pdf", True), ("tables/claims-R1.tex", True), ("report.html", True),
        ("notes.txt", False), ("figures/a/b.png", False), ("figures/notes.txt", False),
        ("analyses/../x.parquet", False), ("/etc/x.parquet", False),
    ],
)  # fmt: skip
def test_is_made__knows_our_names(name, expected):
    assert is_made(name) is expected


# What was computed is not lost at the last step -------------------------------------------


@pytest.mark.parametrize("command", ["run", "detect", "convert", "simulate"])
@pytest.mark.parametrize("out", [".", "../d", ""])
def test_out__refuses_the_current_folder_before_computing(
    answer, tmp_path, monkeypatch, command, out
):
    monkeypatch.setattr("gateway.pipeline.obtain_inputs", never)
    monkeypatch.setattr("gateway.cli.own_logs.convert_log", never)
    words = [str(tmp_path / w) if "." in w else w for w in WRITERS[command]]
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path / "d")
    code, said = answer(*words, "--out", out or str(tmp_path / "d"))
    assert code == 2
    assert "the folder in which gateway runs" in said
    assert list((tmp_path / "d").iterdir()) == []


def test_out__refuses_a_mount_point_before_computing(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "disk")
    with pytest.raises(ResultError, match=r"mount point; give folder= .*disk/result"):
        make(tmp_path / "disk")
    assert make(tmp_path / "disk" / "result").is_dir()


@pytest.mark.parametrize("is_there", [True, False])
def test_out__refuses_a_link(tmp_path, is_there):
    if is_there:
        (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultError, match="is a link"):
        make(tmp_path / "r")


def test_out__may_be_an_empty_folder(tmp_path):
    (tmp_path / "r").mkdir()
    assert (make(tmp_path / "r") / "log.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_draft__is_kept_where_the_rename_fails(tmp_path, monkeypatch):
    """A mount of the same disk looks like a folder until something is renamed onto it."""
    rename = Path.rename

    def busy(self, target):
        if Path(target) == tmp_path / "r":
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(ResultError, match="busy; what was computed is kept in"):
        make(tmp_path / "r")
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("r-")
    assert open_result(kept).text("log.txt") == "old"


def test_draft__is_kept_where_the_place_was_taken_meanwhile(tmp_path):
    def race():
        with draft_result(tmp_path / "r") as draft:
            draft.write_text("config.toml", RUN)
            draft.write_status("run")
            place(tmp_path / "r" / "chapter.txt")

    with pytest.raises(ResultError, match="what was computed is kept in"):
        race()
    assert (tmp_path / "r" / "chapter.txt").read_text() == "mine"
    (kept,) = tmp_path.glob("r-*")
    assert (kept / "config.toml").read_text() == RUN


def test_replacing__keeps_what_was_put_into_the_old_result_meanwhile(tmp_path, monkeypatch):
    folder, rename = make(tmp_path / "r"), Path.rename

    def put(self, target):
        if self == folder:
            place(folder / "notes.txt")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", put)
    with pytest.raises(ResultError, match=r"stands at .*'notes\.txt'"):
        make(folder, "new", replaces="run")
    assert (folder / "log.txt").read_text() == "new"
    (kept,) = tmp_path.glob("r-before-*")
    assert (kept / "notes.txt").read_text() == "mine"


# Kills ------------------------------------------------------------------------------------

KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_ownership import make
n, real = [0], Path.rename
def dies(self, target):
    if n[0] == {after}:
        os._exit(9)
    n[0] += 1
    return real(self, target)
Path.rename = dies
make(Path({final!r}), "new", replaces="run")
os._exit(9)
"""


def killed(final: Path, *, after: int) -> None:
    """A process that makes a result and dies before its rename number ``after``."""
    code = KILLED.format(root=str(ROOT), after=after, final=str(final))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 9, done.stderr


@pytest.mark.parametrize(("after", "expected"), [(0, "old"), (1, "new"), (2, "new")])
def test_kill__around_the_renames_leaves_one_whole_result(tmp_path, after, expected):
    folder = make(tmp_path / "r")
    killed(folder, after=after)
    assert folder.exists() == (after != 1)
    settle(tmp_path)
    assert open_result(folder).text("log.txt") == expected
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_kill__between_the_renames_is_mended_by_whoever_opens_the_result(tmp_path):
    folder = make(tmp_path / "r")
    killed(folder, after=1)
    assert open_result(folder).text("log.txt") == "new"


def test_kill__before_the_only_rename_does_not_lose_the_new_result(tmp_path):
    killed(tmp_path / "r", after=0)
    assert open_result(tmp_path / "r").text("log.txt") == "new"


def test_settle__brings_the_old_result_back_where_no_new_one_is(tmp_path):
    folder = make(tmp_path / "r")
    folder.rename(tmp_path / ".r.a1b2c3d4.old")
    settle(tmp_path, "r")
    assert open_result(folder).text("log.txt") == "old"


def test_settle__keeps_an_old_result_with_a_strangers_file(tmp_path):
    make(tmp_path / "r").rename(tmp_path / ".r.a1b2c3d4.old")
    place(tmp_path / ".r.a1b2c3d4.old" / "notes.txt")
    make(tmp_path / "q").rename(tmp_path / "r")
    settle(tmp_path)
    assert (tmp_path / ".r.a1b2c3d4.old" / "notes.txt").read_text() == "mine"


def test_draft__of_the_dead_is_removed_by_the_next_run_alone_of_its_name(tmp_path):
    for name in ("r", "s"):
        draft = tmp_path / f".{name}.a1b2c3d4.draft"
        draft.mkdir()
        with hold_draft(draft):
            place(draft / ".scratch-x" / "column", "half")
    make(tmp_path / "r")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".s.a1b2c3d4.draft", "r"]


def test_draft__of_the_living_is_left(tmp_path):
    with draft_result(tmp_path / "r") as first:
        first.write_text("log.txt", "first")
        settle(tmp_path)
        assert (first.folder / "log.txt").read_text() == "first"


def test_draft__that_only_looks_like_ours_is_left(tmp_path):
    looks = tmp_path / ".r.a1b2c3d4.draft"
    place(looks / "chapter.txt")
    copied = tmp_path / ".r.bbbbbbbb.draft"
    copied.mkdir()
    place(copied / DRAFT_MARKER, '{"format": "gateway result, 1", "draft": ".r.cccccccc.draft"}')
    (tmp_path / ".r.dddddddd.draft").symlink_to(looks)
    before = tree(tmp_path)
    settle(tmp_path)
    assert tree(tmp_path) == before


def test_draft__with_a_link_is_removed_and_the_link_not_followed(tmp_path):
    place(tmp_path / "outside" / "thesis.tex")
    draft = tmp_path / ".r.a1b2c3d4.draft"
    draft.mkdir()
    with hold_draft(draft):
        (draft / "figures").symlink_to(tmp_path / "outside")
    settle(tmp_path)
    assert tree(tmp_path) == {"outside": "folder", "outside/thesis.tex": b"mine"}


# Links in a result ------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["figures", "figures/new.svg", "log.txt", "status.json"])
def test_rewrite__follows_no_link(tmp_path, link):
    folder = make(tmp_path / "r")
    place(tmp_path / "outside" / "thesis.tex")
    target = tmp_path / "outside"
    if "." in link:
        target /= "thesis.tex"
        (folder / link).unlink(missing_ok=True)
    else:
        (folder / link / "ranking.svg").unlink()
        (folder / link).rmdir()
    (folder / link).symlink_to(target)
    before = tree(tmp_path)
    with pytest.raises(ResultError, match="is a link"):
        Result(folder).rewrite({"figures/new.svg": b"x", "log.txt": b"x", "status.json": b"x"})
    assert tree(tmp_path) == before


def test_rewrite__leaves_a_strangers_file_and_lists_what_it_adds(tmp_path):
    folder = make(tmp_path / "r")
    place(folder / "figures" / "new.svg")
    with pytest.raises(ResultError, match=r"new\.svg is not of gateway"):
        Result(folder).rewrite({"figures/new.svg": b"x"})
    assert (folder / "figures" / "new.svg").read_text() == "mine"
    (folder / "figures" / "new.svg").unlink()
    Result(folder).rewrite({"figures/new.svg": b"x"})
    assert strangers(folder, owned_files(folder)) == []
    make(folder, "new", replaces="run")
    assert not (folder / "figures" / "new.svg").exists()


def test_partial__a_link_of_that_name_is_not_written_through(tmp_path):
    folder = make(tmp_path / "r")
    place(tmp_path / "thesis.tex")
    (folder / ".log.txt.partial").symlink_to(tmp_path / "thesis.tex")
    Result(folder).rewrite({"log.txt": b"x"})
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    assert (folder / "log.txt").read_bytes() == b"x"


def test_force__refuses_a_result_with_a_link(tmp_path):
    folder = make(tmp_path / "r")
    (folder / "log.txt").unlink()
    place(tmp_path / "thesis.tex")
    (folder / "log.txt").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(ResultError, match=r"log\.txt"):
        make(folder, "new", replaces="run")
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("is_link", [True, False])
def test_export__refuses_metadata_of_somebody_else(answer, tmp_path, is_link):
    folder = make(tmp_path / "r")
    place(tmp_path / "crate.json")
    if is_link:
        (folder / "ro-crate-metadata.json").symlink_to(tmp_path / "crate.json")
    else:
        place(folder / "ro-crate-metadata.json")
    before = tree(tmp_path)
    code, said = answer("export", "r", "--ro-crate")
    assert code == 2
    assert "ro-crate-metadata.json" in said
    assert tree(tmp_path) == before


# Sweeps -----------------------------------------------------------------------------------


@pytest.fixture
def swept(tmp_path) -> SweepFolder:
    """A sweep with one finished and one failed point."""
    sweep = SweepFolder(tmp_path / "s")
    sweep.prepare().release()
    sweep.write_config(CONFIG)
    sweep.journal().write("sweep_started")
    make(sweep.point(KEY))
    sweep.keep_failure(KEY, Failure("no memory"), config=RUN)
    return sweep


def enter(sweep: SweepFolder) -> None:
    """What a sweep does with its folder before it computes."""
    lock = sweep.prepare()
    try:
        sweep.journal()
        sweep.sweep_up()
        sweep.drop_point(KEY)
        sweep.forget_failure(KEY)
    finally:
        lock.release()


def test_sweep__removes_its_own_points(swept):
    enter(swept)
    assert not swept.point(KEY).exists()
    assert swept.failures() == {}


@pytest.mark.parametrize(
    "name",
    ["points/.git/HEAD", "points/notes.txt", "points/aaaaaaaaaaaaaaaa/a.txt", "points/mine/a.txt",
     f"points/{KEY}/notes.txt", f"points/.{KEY}.a1b2c3d4.draft/a.txt", "failed/mine/status.json",
     f"failed/{KEY}/notes.txt", "failed/.hidden"],
)  # fmt: skip
def test_sweep__refuses_what_is_no_point_of_its_own(swept, name):
    place(swept.path / name)
    with pytest.raises(ResultError, match=r"move it elsewhere"):
        enter(swept)
    assert (swept.path / name).read_text() == "mine"


def test_sweep__removes_a_damaged_record_of_a_failure_and_not_the_point(swept):
    key = result_id(load_config(swept.point(KEY) / "config.toml"))
    make(swept.point(key))
    swept.keep_failure(key, Failure("no memory"), config=RUN)
    (swept.path / "failed" / key / "status.json").unlink()
    swept.sweep_up()
    assert not (swept.path / "failed" / key).exists()
    assert open_result(swept.point(key)).text("log.txt") == "old"


def test_sweep__leaves_other_files_beside_its_own(swept):
    names = ["notes.txt", ".summary.parquet.partial", ".mine.partial", "lock.txt"]
    for name in names:
        place(swept.path / name)
    enter(swept)
    assert [(swept.path / name).read_text() for name in names] == ["mine"] * len(names)


def test_sweep__refuses_a_lock_of_somebody_else(swept):
    place(swept.path / "lock", "pid 7")
    with pytest.raises(ResultError, match="a folder with other files"):
        enter(swept)
    assert (swept.path / "lock").read_text() == "pid 7"


@pytest.mark.parametrize(
    "name", ["points", "failed", "lock", "execution.jsonl", "sweep.toml", f"points/{KEY}",
             f"failed/{KEY}", "points/.git"]
)  # fmt: skip
@pytest.mark.parametrize("is_whole", [True, False])
def test_sweep__follows_no_link(swept, tmp_path, name, is_whole):
    """A link to the very thing that was there, and a link to something else."""
    path, outside = swept.path / name, tmp_path / "outside"
    if os.path.lexists(path) and is_whole:
        path.rename(outside)
    else:
        place(outside / "thesis.tex")
        if path.exists():
            path.rename(tmp_path / "before")
    path.symlink_to(outside)
    before = tree(tmp_path)
    with pytest.raises(ResultError):
        enter(swept)
    assert tree(tmp_path) == before


WRITES = {
    "points.parquet": lambda sweep: sweep.write_sweep_table("points", pa.table({"point": [1]})),
    "sweep.toml": lambda sweep: sweep.write_config("x = 1"),
    "figures/a.csv": lambda sweep: Result(sweep.path).rewrite({"figures/a.csv": b"x"}),
}


@pytest.mark.parametrize("name", WRITES)
def test_sweep__writes_through_no_link(swept, tmp_path, name):
    place(tmp_path / "thesis.tex")
    path = swept.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(ResultError, match="is a link"):
        WRITES[name](swept)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("name", ["lock", "execution.jsonl"])
def test_sweep__does_not_write_into_a_file_with_a_second_name(swept, tmp_path, name):
    (tmp_path / "second").hardlink_to(swept.path / name)
    before = (tmp_path / "second").read_bytes()
    with pytest.raises(ResultError, match="hard link"):
        enter(swept)
    assert (tmp_path / "second").read_bytes() == before


def test_journal__follows_no_link(tmp_path):
    place(tmp_path / "thesis.tex", "no newline")
    (tmp_path / "execution.jsonl").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(ResultError, match="is a link"):
        Journal(tmp_path / "execution.jsonl").write("x")
    assert (tmp_path / "thesis.tex").read_text() == "no newline"


def test_sweep__that_died_before_its_config_can_be_begun_again(tmp_path):
    sweep = SweepFolder(tmp_path / "s")
    sweep.prepare().release()
    assert sorted(p.name for p in sweep.path.iterdir()) == ["lock", "points"]
    sweep.prepare().release()


def test_open_result__refuses_one_whose_status_is_of_another_format(tmp_path):
    made = make(tmp_path / "r")
    (made / "status.json").write_text(json.dumps({"state": "done", "kind": "run"}))
    with pytest.raises(ResultError, match="'format': field required"):
        open_result(made)
    assert owned_files(made) is None
