"""What a newcomer gets: the bundled log, ``gateway init``, and a package that loads anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gateway
from gateway.__main__ import main
from gateway.errors import LogError
from gateway.log import read_names

ROOT = Path(__file__).parents[1]
COLUMNS = ["user", "group", "time", "source", "seed_group"]


def test_example_log__has_what_its_groups_table_says():
    joins, targets, truth, look_alikes = gateway.example_log()
    assert targets.count == 24
    assert len(truth) == 8
    assert len(look_alikes) == 14
    known = set(joins.groups.to_pylist())
    assert known >= {*truth, *look_alikes}
    assert not {*truth, *look_alikes} & set(targets.names(joins))
    # Nobody joins all; a log of 540 days.
    assert joins.span[1] <= 540


@pytest.mark.slow
def test_example_log__is_what_its_config_simulates():
    sys.path.insert(0, str(ROOT / "experiments"))
    try:
        import example_log
    finally:
        sys.path.pop(0)
    joins, groups = example_log.example_tables()
    bundled = gateway.example_log()
    assert joins.equals(bundled.joins)
    rows = groups.to_pylist()
    assert tuple(r["group"] for r in rows if r["role"] == "influence") == bundled.truth


def _init(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gateway", "init", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_init__writes_a_log_that_is_the_bundled_one(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "begin"
    assert _init(folder, monkeypatch) == 0
    said = capsys.readouterr().out
    example = gateway.example_log()
    joins = gateway.JoinLog.read(folder / "joins.csv")
    # A file knows nobody who joins nothing.
    assert joins.to_arrow().select(COLUMNS) == example.joins.to_arrow().select(COLUMNS)
    assert list(read_names(folder / "targets.txt")) == example.targets.names(example.joins)
    assert read_names(folder / "truth.txt") == example.truth
    for line in said.splitlines()[1:]:
        words = line.split()
        named = [word for word in words if "." in word]
        assert words[0] == "gateway"
        assert named
        assert all((folder / word).is_file() for word in named)
    gateway.load_config(folder / "quickstart.toml")
    assert _init(folder, monkeypatch) == 2
    assert "must be a new or an empty folder" in capsys.readouterr().err


def test_messages__name_arguments_in_python_and_options_on_the_command_line(
    tmp_path, monkeypatch, capsys
):
    path = tmp_path / "log.csv"
    path.write_text("who,group,time\na,b,1\n")
    with pytest.raises(LogError, match=r"did you mean 'who'\? say so with user='who'"):
        gateway.JoinLog.read(path)
    words = ["gateway", "detect", str(path), "--target", "b"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "say so with --user-column who" in capsys.readouterr().err
    with pytest.raises(LogError, match="say so with user='who'"):
        gateway.JoinLog.read(path)


def test_package__reads_and_detects_where_the_system_is_no_unix(tmp_path):
    """As on Windows, as far as what Python has there goes; nothing more is known of it."""
    (tmp_path / "log.csv").write_text("user,group,time\na,g,1\na,t,2\nb,g,1\n")
    code = (
        "import os, sys, numba, pyarrow.parquet, matplotlib\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('geteuid', 'getuid', 'sysconf', 'fchmod', 'killpg', 'O_NOFOLLOW',\n"
        "             'O_NONBLOCK', 'O_CLOEXEC', 'O_DIRECTORY'):\n"
        "    delattr(os, name)\n"
        "import gateway.cli.app, gateway.publish, gateway.sweep, gateway.check\n"
        "joins, targets, *_ = gateway.example_log()\n"
        "found = gateway.detect(joins, targets, detector='order')\n"
        "print(joins.n_joins, len(found.top) > 0, gateway.JoinLog.read('log.csv').n_joins)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "72228 True 3\n"


def test_wheel__holds_configs_data_and_all_modules(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        got = set(archive.namelist())
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway").rglob("*.py")}
    configs = {f"gateway/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml")}
    data = {"gateway/data/example_log.parquet", "gateway/data/example_groups.csv"}
    assert here | configs | data <= got
    assert not any(name.startswith(("tests/", "experiments/")) for name in got)


def test_citation__has_what_an_archive_asks_for_and_the_project_says_the_same():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for key in ("cff-version", "title", "version", "authors", "license", "abstract", "message"):
        assert f"\n{key}:" in f"\n{text}"
    assert f"license: {project['license']}" in text
    assert project["scripts"] == {"gateway": "gateway.__main__:main"}


def test_open_sweep__gives_the_evaluation_of_all_points(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gateway.errors import ResultError

    with pytest.raises(ResultError, match=r"is not the folder of a sweep: it has no sweep\.toml"):
        gateway.open_sweep(tmp_path)
    (tmp_path / "sweep.toml").write_text("[sweep]\n")
    sweep = gateway.open_sweep(tmp_path)
    with pytest.raises(ResultError, match="has no table 'evaluation'; it has: none yet"):
        sweep.to_arrow()
    table = pa.table({
        "point": pa.array([0, 1], pa.int32()), "replicate": pa.array([0, 0], pa.int32()),
        "seed": [1, 1], "world.users": [10, 20], "detector": ["spike"] * 2,
        "truth": ["planted"] * 2, "metric": ["average_precision"] * 2, "value": [0.5, 0.7],
        "ci_low": [0.4, 0.6], "ci_high": [0.6, 0.8],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "evaluation.parquet")
    assert sweep.to_pandas()["world.users"].tolist() == [10, 20]
    assert sweep.to_polars().shape == (2, 10)
    assert "evaluation" in repr(sweep)
    assert "\n" not in repr(sweep)
