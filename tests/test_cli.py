from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.__main__ import main
from gateway.cli import terminal
from tests.worlds import SMALL

# Whole runs: minutes as plain Python.
pytestmark = pytest.mark.compiled

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
real_log = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real join logs (../shared/data) are not in this checkout"
)


def cli(*words, cwd, **options):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **options,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line in this process, for tests of what it answers: a start costs a second."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gateway", *map(str, words)])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGTERM, before)
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return run


def log(path: Path, rows: list[str], head: str = "user,group,time") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def many_rows(n_users: int = 300) -> list[str]:
    """Users who join three of five groups; a third end in the target."""
    rows = []
    for u in range(n_users):
        for day, group in enumerate(("a", "b", "c", "d")):
            if (u + day) % 3:
                rows.append(f"u{u},{group},2020-01-{1 + day + u % 5:02d}")
        if u % 3 == 0:
            rows.append(f"u{u},bad,2020-01-20")
    return rows


def test_version__is_printed(tmp_path):
    done = cli("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "gateway 0.1.0\n")


@pytest.mark.parametrize(("width", "gone"), [(120, []), (66, ["E"]), (60, ["E", "q"])])
def test_table__on_a_narrow_terminal_keeps_names_whole_and_says_what_it_leaves_out(
    monkeypatch, capsys, width, gone
):
    name = "Women in Technology East"
    console = partial(Console, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "Console", lambda **options: console(file=options["file"]))
    columns = ["group", "rank", "q", "E", "95 % interval"]
    terminal.print_table("T", columns, [[name, "1", "< 0.001", "1.25", "[4.121, 19.581]"]],
                         may_go=["E", "q"])  # fmt: skip
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= width
    assert name in said
    assert "[4.121, 19.581]" in said
    assert ("< 0.001" in said, "1.25" in said) == ("q" not in gone, "E" not in gone)
    assert (f"no room for: {', '.join(gone)} (the report has them)" in said) == bool(gone)


@pytest.mark.parametrize("names", [["Ж" * 30, "群" * 30], ["Ж" * 30, "Ж" * 31]])
def test_table__of_names_shortens_them_unless_two_would_look_alike(monkeypatch, capsys, names):
    console = partial(Console, width=67, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "Console", lambda **options: console(file=options["file"]))
    rows = [[name, "1.25 to 19.58", "association stays"] for name in names]
    terminal.print_table("T", ["group", "95 %", "that is"], rows, shortens=True)
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("│")]
    assert {cell_len(line) for line in lines} == {67}
    if names[1][0] == "群":
        # 27 columns: 13 letters and a sign stand before the last 13; of the wide ones 6 and 6.
        assert [line.split()[1] for line in lines] == [
            f"{'Ж' * 13}…{'Ж' * 13}",
            f"{'群' * 6}…{'群' * 6}",
        ]
        assert "no room for: whole names" in said
    else:
        assert sum(line.count("Ж") for line in lines) == 61


def test_help__lists_the_jobs(tmp_path):
    done = cli("--help", cwd=tmp_path)
    for command in (
        "run",
        "detect",
        "check",
        "simulate",
        "rerun",
        "figures",
        "report",
        "validate",
        "schema",
    ):
        assert f"  {command} " in done.stdout


def test_run__then_rerun_is_identical_and_json_is_only_json(tmp_path, answer):
    (tmp_path / "small.toml").write_text(SMALL)
    done = cli("run", "small.toml", "--out", "r", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["n_users"] == 800
    assert isinstance(found["summary"]["horizon"], str)
    assert found["summary"]["source"] == "simulated"
    assert (tmp_path / found["report"]).is_file()
    assert "training and scoring" in done.stderr
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    again = answer("rerun", "r", "--threads", 1)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout == "identical: 34 tables and figures\n"


@pytest.mark.usefixtures("undrawn")
def test_rerun__of_what_was_changed_says_what_differs(tmp_path, answer):
    log(tmp_path / "log.csv", many_rows())
    done = answer("detect", "log.csv", "--target", "bad", "--detector", "order", "--out", "d")
    assert done.returncode == 0, done.stderr
    (tmp_path / "d" / "gateways.parquet").write_bytes(b"changed")
    changed = answer("rerun", "d", "--json")
    assert changed.returncode == 1
    assert json.loads(changed.stdout)["differences"] == [
        {"file": "gateways.parquet", "what": "differs"}
    ]


@pytest.mark.usefixtures("undrawn")
def test_simulate__stores_a_log_that_detect_reads(tmp_path, answer):
    (tmp_path / "small.toml").write_text(SMALL)
    done = answer("simulate", "small.toml", "--out", "w")
    assert done.returncode == 0, done.stderr
    detect = answer(
        "detect", "w/joins", "--target", "g0000001", "--target", "g0000002", "--target", "g0000003",
        "--set", "spike.min_joiners=5", "--out", "d", "--horizon", "60d",
    )  # fmt: skip
    assert detect.returncode == 0, detect.stderr
    assert "Top gateway groups by spike" in detect.stdout
    head = detect.stdout.split("┏")[1].split("┡")[0]
    assert {"excess", "(percentage", "points)", "spike", "(%)"} <= set(head.split())
    assert (tmp_path / "d" / "report.html").is_file()


@pytest.mark.usefixtures("undrawn")
def test_detect__reads_other_column_names_and_a_targets_file(tmp_path, answer):
    log(tmp_path / "log.csv", many_rows(), head="who,what,when")
    (tmp_path / "targets.txt").write_text("bad\n")
    done = answer(
        "detect", "log.csv", "--targets", "targets.txt", "--user-column", "who",
        "--group-column", "what", "--time-column", "when", "--out", "r",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("undrawn")
def test_check__says_how_far_a_detector_can_be_trusted_and_goes_on_where_it_stopped(
    tmp_path, answer
):
    log(tmp_path / "log.csv", many_rows())
    words = ("check", "log.csv", "--target", "bad", "--detector", "frequentist",
             "--engine", "serial", "--out", "c")  # fmt: skip
    done = answer(*words)
    assert done.returncode == 0, done.stderr
    assert "What may not be claimed:" in done.stdout
    assert "within users" in done.stdout
    assert (tmp_path / "c" / "report.html").is_file()
    said = json.loads(answer(*words, "--json").stdout)
    assert said["paragraph"] in done.stdout
    nulls = {row["log"]: row["n"] for row in said["check"]
             if row["metric"] == "share_of_logs_with_calls"}  # fmt: skip
    assert nulls["labels_permuted"] == nulls["permuted_within_users"] == 10
    computed = (tmp_path / "c" / "execution.jsonl").read_text().count('"finished"')
    assert computed == 29


@pytest.mark.usefixtures("undrawn")
def test_detect__escapes_what_strangers_wrote(tmp_path, answer):
    nasty = "\x1b[31m<script>alert(1)</script> $x^2$ [bold]"
    rows = [row.replace(",a,", f',"{nasty}",') for row in many_rows()]
    log(tmp_path / "log.csv", rows)
    done = answer("detect", "log.csv", "--target", "bad", "--out", "r")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "[bold]" in done.stdout.replace("\n", "")
    assert "<script>alert" not in (tmp_path / "r" / "report.html").read_text()


BAD_LOGS = [
    ("missing column", ["u1,a"], "user,group", ["--target", "a"], "time"),
    ("unreadable time", ["u1,a,2020-01-01", "u2,b,soon"], None, ["--target", "a"], "soon"),
    ("header only", [], None, ["--target", "a"], "log.csv"),
    ("unknown target", many_rows(30), None, ["--target", "bat"], "did you mean 'bad'"),
    ("no target given", many_rows(30), None, [], "--targets FILE or --target GROUP"),
    ("one user", ["u1,a,1", "u1,b,2"], None, ["--target", "b"], "at least 2 users"),
    ("targets first", ["u1,b,1", "u2,b,1", "u3,a,1", "u4,a,2"], None, ["--target", "b"], "before"),
    ("bad horizon", many_rows(30), None, ["--target", "bad", "--horizon", "3x"], "3x"),
    ("bad setting", many_rows(30), None, ["--target", "bad", "--set", "spike.quantile=2"], "got 2"),
    ("horizon too long", many_rows(), None, ["--target", "bad", "--horizon", "900d"], "horizon"),
]


@pytest.mark.parametrize("case", BAD_LOGS, ids=[case[0] for case in BAD_LOGS])
def test_bad_log__ends_in_a_message_exit_2_and_nothing_written(tmp_path, answer, case):
    _, rows, head, options, says = case
    log(tmp_path / "log.csv", rows, head or "user,group,time")
    done = answer("detect", "log.csv", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "nowhere.toml"], "does not exist"),
        (["rerun", "nowhere"], "does not exist"),
        (["figures", "nowhere"], "does not exist"),
        (["report", "nowhere"], "does not exist"),
        (["detect", "nowhere.csv", "--target", "x"], "nowhere.csv"),
        (["check", "nowhere.csv", "--target", "x"], "nowhere.csv"),
        (["check", "nowhere.csv"], "no target group: give --targets FILE or --target GROUP"),
        (["check", "nowhere.csv", "--target", "x", "--engine", "slow"], "must be one of serial"),
        (["run"], "CONFIG"),
        (["dance"], "dance"),
        (["run", "small.toml", "--threads", "0"], "--threads"),
    ],
)
def test_wrong_usage__is_exit_2(tmp_path, answer, words, says):
    (tmp_path / "small.toml").write_text(SMALL)
    done = answer(*words)
    assert done.returncode == 2
    assert says in done.stderr


def test_full_disk__is_said_without_a_traceback(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "schema"], cwd=tmp_path, stdout=full, text=True,
            stderr=subprocess.PIPE, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: cannot write: No space left on device\n"


def test_validate__lists_every_problem_with_its_line(tmp_path, answer):
    bad = SMALL.replace("users = 800", 'users = "many"').replace("[spike]", "[spike]\nquantle = 1")
    (tmp_path / "bad.toml").write_text(bad)
    done = answer("validate", "bad.toml")
    assert done.returncode == 2
    assert "bad.toml:6: world.users" in done.stderr
    assert "did you mean 'quantile'" in done.stderr
    assert "2 problems" in done.stderr


def test_validate__accepts_the_quickstart(answer):
    done = answer("validate", ROOT / "configs" / "quickstart.toml")
    assert (done.returncode, done.stdout) == (0, "")


def test_schema__is_json_with_every_section(answer):
    schema = json.loads(answer("schema").stdout)
    assert {"experiment", "world", "log", "targets", "score", "spike"} <= set(schema["properties"])


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal__ends_with_its_code_and_leaves_nothing(tmp_path, name, code):
    (tmp_path / "long.toml").write_text(SMALL.replace("users = 800", "users = 800000"))
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", "long.toml", "--out", "r"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".r.*.draft")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(getattr(signal, name))
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == code, stderr
    assert "Traceback" not in stderr
    assert [p.name for p in tmp_path.iterdir()] == ["long.toml"]


@real_log
@pytest.mark.parametrize(
    ("name", "targets"),
    [("igo_membership_joins.csv.gz", ["eu"]), ("meetup_nashville_joins.csv.gz", None)],
)
def test_detect__runs_on_the_real_logs(tmp_path, answer, name, targets):
    if targets is None:
        import csv

        with (DATA / "meetup_nashville_groups.csv").open() as file:
            listed = [r["group"] for r in csv.DictReader(file) if r["category"] == "Tech"]
        (tmp_path / "t.txt").write_text("\n".join(listed))
        words = ["--targets", "t.txt"]
    else:
        words = [w for t in targets for w in ("--target", t)]
    done = answer("detect", DATA / name, *words, "--out", "r")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "r" / "figures" / "top_gateways.pdf").is_file()


@pytest.mark.usefixtures("undrawn")
def test_run__without_planted_gateways_says_what_is_undefined(tmp_path, answer):
    (tmp_path / "small.toml").write_text(SMALL)
    nobody = [
        f"world.roles.{role}=0" for role in ("influence", "recommender", "inviter", "homophily")
    ]
    settings = [word for setting in nobody for word in ("--set", setting)]
    done = answer("run", "small.toml", *settings, "--out", "r", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    planted = {
        row["metric"]: row["value"] for row in found["evaluation"] if row["truth"] == "planted"
    }
    assert planted["average_precision"] is None
    assert planted["precision_at_50"] == 0.0
    assert list((tmp_path / "r" / "tables").glob("*.tex"))
    group = found["top"][0]["group"]
    for words in (("figures", "r"), ("report", "r"), ("explain", "r", group), ("compare", "r", "r"),
                  ("run", "small.toml", *settings, "--out", "r")):  # fmt: skip
        done = answer(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert "average precision against planted gateways: undefined" in done.stdout


@pytest.mark.usefixtures("undrawn")
def test_detect__where_everybody_joins_a_target_answers_by_what_needs_no_others(tmp_path, answer):
    """Thirty users join x, some of them the target before it; one in three has more joins."""
    rows = [
        f"u{u:02d},{group},{day}"
        for u in range(30)
        for group, day in (("a", 1), ("x", 20), ("bad", 10 + u), ("y", 60), ("b", 5), ("c", 15))
        if u % 3 == 0 or group not in "bc"
    ]
    log(tmp_path / "log.csv", rows)
    done = answer("detect", "log.csv", "--target", "bad", "--out", "r", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("spike is left out: at least 2 users must never join")
    found = json.loads(done.stdout)
    assert {row["detector"] for row in found["top"]} == {"self_controlled"}
    assert found["summary"]["left_out"].startswith("spike is left out: at least 2 users")
    told = f"S{html.escape(found['summary']['left_out'][1:], quote=False)}."
    assert told in (tmp_path / "r" / "report.html").read_text()
    shown = answer("detect", "log.csv", "--target", "bad", "--out", "r")  # again: it is there
    assert shown.returncode == 0, shown.stderr
    assert found["summary"]["left_out"] in shown.stdout
    asked = answer("detect", "log.csv", "--target", "bad", "--detector", "spike", "--out", "s")
    assert asked.returncode == 2
    assert "--detector self_controlled needs no others" in asked.stderr
