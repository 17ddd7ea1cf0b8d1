"""Configs, logs and lists of targets from strangers: pipes, devices, bombs, endless keys."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.cli.terminal import TerminalTalk, print_table
from gateway.figures import csv_bytes
from gateway.wording import name
from tests.attacks.conftest import make_result
from tests.worlds import SMALL

LOG = "user,group,time\na,g,1\na,t,2\nb,g,1\n"


@pytest.fixture(params=["pipe", "zeros", "folder"])
def nothing(tmp_path, request):
    """A path at which no file lies that could be read to its end."""
    path = tmp_path / request.param
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "zeros":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


def test_input__that_is_no_plain_file_is_refused(answer, tmp_path, nothing) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    for words in (
        ("run", nothing), ("validate", nothing), ("sweep", nothing),
        ("simulate", nothing, "--out", "o"),
        ("detect", nothing, "--target", "t"), ("detect", "log.csv", "--targets", nothing),
        ("detect", "log.csv", "--targets", nothing, "--targets-column", "group"),
        ("convert", nothing, "--out", "o"), ("reproduce", "--file", nothing),
        ("check", nothing, "--target", "t"),
    ):  # fmt: skip
        code, said = answer(*words)
        assert code == 2, (words, said)
        assert said.startswith("error: "), (words, said)
        assert len(said.splitlines()) <= 2, said


def test_config__of_two_thousand_unknown_keys_is_answered_at_once(answer, tmp_path) -> None:
    keys = "\n".join(f"influnce_strngth_{i} = {i}" for i in range(2_000))
    (tmp_path / "c.toml").write_text(SMALL + "[world.roles.more]\n" + keys)
    (tmp_path / "d.toml").write_text(SMALL + keys)
    answer("validate", "c.toml")
    for path in ("c.toml", "d.toml"):
        begun = time.process_time()
        code, said = answer("validate", path)
        assert code == 2
        assert time.process_time() - begun < 5.0
    assert "more keys are wrong" in said
    assert len(said.splitlines()) < 300


# Text ------------------------------------------------------------------------------------------


FORMULAS = ["=cmd()|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1"]


def test_csv__holds_no_formula() -> None:
    table = pa.table({"group": FORMULAS, "change": [-1.5] * len(FORMULAS)})
    lines = csv_bytes(table).decode().splitlines()[1:]
    rows = [line for line in csv_bytes(table).decode().split("\n")[1:] if line]
    assert all(row.startswith("\"'") for row in rows), lines
    assert all(row.endswith(",-1.5") for row in rows)


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "file:///etc", "x",
                                     "https://a.b/<script>", "https://a.b/ c", ""])  # fmt: skip
def test_licence__is_an_address_of_the_web(answer, tmp_path, address) -> None:
    folder = make_result(tmp_path / "r")
    before = sorted(p.name for p in folder.iterdir())
    code, said = answer("export", folder, "--ro-crate", "--license", address)
    assert code == 2
    assert "--license must be an address" in said
    assert sorted(p.name for p in folder.iterdir()) == before


def test_terminal__takes_no_markup(capsys) -> None:
    print_table("t [link=http://evil]x[/link]", ["[bold]a", "b"], [["[red]1", "2"]])
    with TerminalTalk().stage("[link=http://evil]point[/link]"):
        pass
    said = "".join("".join(capsys.readouterr()).split())
    assert "[link=http://evil]x[/link]" in said
    assert "[bold]a" in said
    assert "[red]1" in said
    assert "[link=http://evil]point[/link]" in said


def test_name__has_no_character_that_xml_refuses() -> None:
    assert name("a\ufffeb\uffffc\ufdd0d\U0001ffffe") == "abcde"
    assert name("\U0001f600 é") == "\U0001f600 é"


def test_report__of_a_config_with_such_characters_is_html(answer, tmp_path) -> None:
    folder = make_result(tmp_path / "r", SMALL.replace('"2020-05"', '"2020-05"'))
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('name = "small"', 'name = "small" # \ufffe'))
    status = folder / "status.json"
    status.write_text(status.read_text().replace('"kind": "run"', '"kind": "run", "x": "\ufffe"'))
    code, said = answer("report", folder)
    assert code == 0, said
    assert "\ufffe" not in (folder / "report.html").read_text()


# Sizes -----------------------------------------------------------------------------------------


def test_world__of_more_joins_than_memory_is_refused_with_the_estimate(answer, tmp_path) -> None:
    text = SMALL.replace("users = 800", "users = 300_000_000")
    text = text.replace("joins_per_user = 9.0", "joins_per_user = 1000.0\nactivity_sigma = 0.0")
    (tmp_path / "c.toml").write_text(text)
    (tmp_path / "s.toml").write_text(text + '[sweep.over]\n"experiment.seed" = [1, 2]\n')
    (tmp_path / "g.toml").write_text(SMALL.replace("groups = 120", "groups = 2_147_483_647"))
    for words in (("run", "c.toml"), ("simulate", "c.toml", "--out", "o"), ("sweep", "s.toml")):
        code, said = answer(*words)
        assert code == 2
        # 12 bytes a join and 92 a user: 3 10^11 and 3 10^8 of them.
        assert "about 3e+11 joins, which take at least 3,3" in said
    assert answer("run", "g.toml")[0] == 2
    assert not (tmp_path / "results").exists()


def log_of(tmp_path, name: str, **columns: pa.Array) -> str:
    rows = len(columns["user"])
    table = {"group": ["g"] * rows, "time": [1] * rows} | columns
    pq.write_table(pa.table(table), tmp_path / name, compression="zstd")
    return name


def repeated(value: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([value]))


def test_parquet__that_claims_more_than_memory_is_refused(answer, tmp_path, monkeypatch) -> None:
    """By its rows, and by one long name in each of them."""
    log_of(tmp_path, "rows.parquet", user=repeated("u", 10**6))
    log_of(tmp_path, "names.parquet", user=repeated("u" * 10**6, 20_000))
    for path in tmp_path.glob("*.parquet"):
        assert path.stat().st_size < 100_000
    with monkeypatch.context() as small:
        small.setattr("gateway.log.row_sources.memory_bytes", lambda: 10**7)
        code, said = answer("detect", "rows.parquet", "--target", "g")
    assert code == 2
    assert "1,000,000 rows, which take at least" in said
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**31, before[1]))
    try:
        for words in (("detect", "names.parquet", "--target", "g"),
                      ("convert", "names.parquet", "--out", "o")):  # fmt: skip
            code, said = answer(*words)
            assert code == 2, said
            assert "must hold names of at most 65,536 bytes; got one of 1,000,000" in said
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
