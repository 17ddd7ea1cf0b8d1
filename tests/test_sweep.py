"""Sweeps: designs, points, what is computed again and what is not, tables, comparison."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gateway.config import SweepSection, parse_config
from gateway.errors import ConfigError, ResultError
from gateway.pipeline import execute
from gateway.results import Journal, Lock, SweepFolder, draft_result
from gateway.results.locks import is_held
from gateway.sweep import (
    EngineOptions,
    compare_folders,
    folder_status,
    read_plan,
    resume_sweep,
    run_sweep,
    stored_plan,
)
from gateway.sweep.plan import draw_design, parse_points
from gateway.sweep.processes import worker_environment
from gateway.sweep.running import TINY

SERIAL = EngineOptions("serial")
OVER = '\n[sweep]\nreplicates = 2\n[sweep.over]\n"world.roles.influence_strength" = [0.5, 1.5]\n'
TABLES = ("points", "evaluation", "summary")


def design(text: str, *whole: str) -> list[list[object]]:
    """Values of every point of a [sweep] section."""
    import tomllib

    sweep = SweepSection.model_validate(tomllib.loads(text))
    return [[s.value for s in row] for row in draw_design(sweep, frozenset(whole))]


def plan_of(folder: Path, text: str = TINY + OVER, *overrides: str):
    (folder / "sweep_config.toml").write_text(text)
    return read_plan(folder / "sweep_config.toml", overrides=overrides)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_points(text, name="s.toml")
    return str(caught.value)


# Designs ----------------------------------------------------------------------------------


def test_grid__is_every_combination_last_key_first() -> None:
    got = design('over."a.b" = [1, 2]\nover."a.c" = ["x", "y"]')
    assert got == [[1, "x"], [1, "y"], [2, "x"], [2, "y"]]


def test_zip__goes_through_the_lists_together() -> None:
    got = design('design = "zip"\nover."a.b" = [1, 2]\nover."a.c" = {low=0, high=1, points=2}')
    assert got == [[1, 0.0], [2, 1.0]]


def test_range__on_both_scales_and_in_whole_numbers() -> None:
    (got,) = zip(*design('over."a.b" = {low=1, high=100, scale="log", points=3}'), strict=True)
    np.testing.assert_allclose(got, [1, 10, 100], rtol=1e-14)
    got = design('over."a.b" = {low=1, high=3, points=9}', "a.b")
    assert got == [[1], [2], [3]]


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_drawn_designs__can_be_extended(name: str) -> None:
    text = f'design = "{name}"\nover."a.b" = {{low=0, high=1}}\nover."a.c" = [1, 2, 3]\npoints = '
    assert design(text + "37")[:10] == design(text + "10")


def test_latin_hypercube__has_one_point_in_each_stratum() -> None:
    text = 'design = "latin_hypercube"\npoints = 20\nover."a.b" = {low=0, high=20}\n'
    got = sorted(int(value) for (value,) in design(text))
    assert got == list(range(20))


@pytest.mark.parametrize("name", ["random", "latin_hypercube", "sobol"])
def test_drawn_designs__whole_numbers_have_equal_shares_and_keep_to_the_range(name: str) -> None:
    text = f'design = "{name}"\npoints = 4096\nover."a.b" = {{low=3, high=6}}\n'
    values, counts = np.unique(design(text, "a.b"), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6]
    # 1,024 expected, standard deviation 28 where they are independent: five of them.
    assert np.abs(counts - 1024).max() < 140


def test_drawn_designs__their_seed_matters_and_repeats() -> None:
    text = 'design = "sobol"\npoints = 4\nover."a.b" = {low=0, high=1}\ndesign_seed = '
    assert design(text + "1") == design(text + "1")
    assert design(text + "1") != design(text + "2")


# What is wrong with a sweep ----------------------------------------------------------------

BAD = [
    ('design = "sobol"\n[sweep.over]\n"world.users" = [500]', "sweep.points is missing"),
    ('points = 3\n[sweep.over]\n"world.users" = [500]', "cannot stand with design grid"),
    ('[sweep.over]\n"world.users" = {low=5}', "needs both low and high"),
    ('[sweep.over]\n"world.users" = {low=500, high=600}', "needs points"),
    ('[sweep.over]\n"world.users" = {low=600, high=500, points=2}', "must have low below high"),
    ('[sweep.over]\n"world.users" = {low=0, high=5, points=2, scale="log"}', "low above 0"),
    ('[sweep.over]\n"spike.rule" = {low=0, high=5, points=2}', "is no number"),
    ('[sweep.over]\n"world.users" = [500, 500]', "must not name a value twice"),
    ('[sweep.over]\n"world.users" = {values=[1], low=2, high=3}', "must be either a list"),
    ('[sweep.over]\n"world.users" = {values=[400], scale="log"}', "points and scale are for"),
    ('design="zip"\n[sweep.over]\n"world.users" = [500]\n"world.days"=[90,91]', "of one length"),
    ('replicates=2\n[sweep.over]\n"experiment.seed" = [500]', "cannot stand beside"),
    ('replicates=99_999\n[sweep.over]\n"world.users" = [500, 600]', "at most 100_000 points"),
    ('design="random"\npoints=2\n[sweep.over]\n"world.users" = {low=1,high=2,points=3}',
     "cannot have points of its own"),
    ('[sweep.over]\n"world.userz" = [500]', "did you mean 'users'"),
    ('[sweep.over]\n"world.users.x" = [500]', "world.users is a value, not a table"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_sweep__is_said_with_its_line(text: str, says: str) -> None:
    base = TINY if "users.x" not in text else TINY.replace("users = 400", "users = 400 ")
    got = refusal(base + "[sweep]\n" + text)
    assert says in got
    assert "s.toml:" in got


def test_bad_points__are_all_said_once_at_the_lines_of_their_values() -> None:
    text = TINY + (
        '[sweep]\nreplicates = 3\n[sweep.over]\n"score.horizon" = [\n  30,\n  900,\n]\n'
        '"spike.quantile" = [0.5, 2.0]\n"world.rols" = [1]\n'
    )
    first = text.count("\n", 0, text.index("  900")) + 1
    got = refusal(text).splitlines()
    assert len(got) == 4, got
    assert got[1].startswith(f"  s.toml:{first}: score.horizon must be less than world.days")
    assert "spike.quantile must be in (0, 1); got 2.0" in got[2]
    assert "world.rols is not a known" in got[3]


def test_bad_points__are_said_beside_what_is_wrong_with_the_base() -> None:
    text = TINY.replace("groups = 80", "groups = -1") + OVER.replace("1.5", '"x"')
    got = refusal(text)
    assert "world.groups" in got
    assert "influence_strength" in got
    assert got.startswith("2 problems")


def test_sweep__is_missing() -> None:
    assert "[sweep] is missing" in refusal(TINY)


def test_execute__refuses_a_config_with_a_sweep(tmp_path) -> None:
    with pytest.raises(ConfigError, match="gateway sweep"):
        execute(parse_config(TINY + OVER), folder=tmp_path / "r")


# Points -----------------------------------------------------------------------------------


def test_plan__has_a_point_for_every_setting_and_seed(tmp_path) -> None:
    plan = plan_of(tmp_path)
    got = [
        (p.index, p.replicate, p.config.world.roles.influence_strength, p.config.experiment.seed)
        for p in plan.points
    ]
    assert got == [(0, 0, 0.5, 5), (0, 1, 0.5, 6), (1, 0, 1.5, 5), (1, 1, 1.5, 6)]
    assert all(point.config.sweep is None for point in plan.points)
    assert plan.folder == Path("results/warm-up/sweep")


@pytest.mark.parametrize("share", [0.7, 0.1])
def test_plan__that_was_stored_is_the_same(tmp_path, share) -> None:
    """Arms have an order of their own in a resolved config, so the file's must be kept."""
    arms = "".join(
        f'[[interventions]]\narm = "{arm}"\nkind = "demotion"\nroles = ["planted"]\n'
        f"start = 9\nshare = {s}\n" for arm, s in (("b", share), ("a", 0.4))
    )  # fmt: skip
    over = OVER + '"interventions.1.share" = [0.2, 0.3]\n'
    plan = plan_of(tmp_path, TINY + arms + over)
    again = plan_of(tmp_path, plan.toml)
    assert [p.key for p in plan.points] != [p.key for p in plan_of(tmp_path).points]
    assert [p.key for p in again.points] == [p.key for p in plan.points]


@pytest.mark.parametrize("design", ["grid", "sobol", "random", "latin_hypercube"])
def test_plan__that_was_stored_keeps_the_order_of_lists_and_ranges(tmp_path, design) -> None:
    """TOML has plain values stand before tables, which a list and a range are."""
    points = ", points=3" if design == "grid" else ""
    text = f'[sweep]\ndesign = "{design}"\n' + ("points = 6\n" if not points else "")
    text += (
        f'[sweep.over]\n"world.users" = {{low=400, high=900{points}}}\n'
        f'"spike.alpha" = [0.1, 0.2]\n"score.tolerance" = {{low=1e-9, high=1e-7{points}}}\n'
    )
    plan = plan_of(tmp_path, TINY + text)
    again = plan_of(tmp_path, plan.toml)
    assert [p.settings for p in again.points] == [p.settings for p in plan.points]
    assert [p.key for p in again.points] == [p.key for p in plan.points]
    assert list(again.sweep.over) == list(plan.sweep.over)


def test_keys__change_with_what_is_changed_alone(tmp_path) -> None:
    keys = {p.key for p in plan_of(tmp_path).points}
    wider = plan_of(tmp_path, TINY + OVER.replace("0.5,", "0.5, 1.0,"))
    assert keys < {p.key for p in wider.points}
    assert not keys & {p.key for p in plan_of(tmp_path, TINY + OVER, "spike.alpha=0.1").points}


def test_plan__counts_points_that_coincide_once(tmp_path) -> None:
    drawn = '[sweep]\ndesign="random"\npoints=50\n[sweep.over]\n"score.folds"={low=2,high=4}'
    assert len(plan_of(tmp_path, TINY + drawn).points) == 3


# Journal and lock -------------------------------------------------------------------------


def test_journal__survives_a_torn_line(tmp_path) -> None:
    path = tmp_path / "execution.jsonl"
    Journal(path).write("one", point="a")
    with path.open("ab") as file:
        file.write(b'{"time": "2026-01-01T00:00:00", "event": "tw')
    Journal(path).write("three", point="c")
    assert [entry["event"] for entry in SweepFolder(tmp_path).history()] == ["one", "three"]


def test_journal__writers_at_once_mix_no_lines(tmp_path) -> None:
    path = tmp_path / "execution.jsonl"

    def write(name: int) -> None:
        journal = Journal(path)
        for i in range(50):
            journal.write("e", who=name, i=i, pad="x" * 300)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = SweepFolder(tmp_path).history()
    assert len(got) == len(path.read_text().splitlines()) == 200


def test_lock__is_refused_while_it_is_held_and_dies_with_its_process(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.results.locks.PATIENCE_SECONDS", 0.2)
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from gateway.results.locks import Lock\n"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout.readline() == b"held\n"
    assert is_held(path)
    with pytest.raises(ResultError, match=f"being swept by process {holder.pid} on"):
        Lock(path)
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert not is_held(path)
    Lock(path).release()


def test_prepare__refuses_what_is_no_sweep(tmp_path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.tex").write_text("years of work")
    with pytest.raises(ResultError, match="a folder with other files"):
        SweepFolder(tmp_path / "d").prepare()
    with pytest.raises(ResultError, match="is a file"):
        SweepFolder(tmp_path / "d" / "thesis.tex").prepare()


def test_worker_environment__limits_every_kind_of_thread() -> None:
    got = worker_environment(3)
    assert {got["NUMBA_NUM_THREADS"], got["OMP_NUM_THREADS"], got["OPENBLAS_NUM_THREADS"]} == {"3"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "ray"}, "must be one of serial, processes, dask"),
        ({"engine": "serial", "scheduler": "tcp://h:1"}, "goes with --engine dask"),
        ({"engine": "dask", "scheduler": "tcp://h:1", "workers": 2}, "has its workers"),
    ],
)
def test_engine_options__that_do_not_go_together(options, says) -> None:
    with pytest.raises(ConfigError, match=says):
        EngineOptions(**options)


# Whole sweeps -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep of four points."""
    folder = tmp_path_factory.mktemp("sweeps")
    plan = plan_of(folder)
    outcome = run_sweep(plan, folder=folder / "s", options=SERIAL)
    assert (outcome.n_done, outcome.n_computed, outcome.n_failed) == (4, 4, 0)
    return plan, folder / "s"


def tables(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.parquet").read_bytes() for name in TABLES]


def started(folder: Path) -> list[str]:
    return [e["point"] for e in SweepFolder(folder).history() if e["event"] == "started"]


@pytest.mark.compiled
def test_sweep__point_is_the_run_of_its_config(swept, tmp_path) -> None:
    plan, folder = swept
    alone = execute(plan.points[2].config, folder=tmp_path / "alone")
    stored = SweepFolder(folder).table(plan.points[2].key, "evaluation")
    assert stored.equals(alone.table("evaluation"))
    names = {path.name for path in (folder / "points" / plan.points[2].key).iterdir()}
    assert names == {
        "config.toml", "evaluation.parquet", "provenance.json", "status.json", "summary.parquet",
    }  # fmt: skip


@pytest.mark.compiled
def test_sweep__tables_have_swept_keys_as_columns(swept) -> None:
    plan, folder = swept
    points = pq.read_table(folder / "points.parquet")
    assert points.column_names == [
        "point", "replicate", "seed", "world.roles.influence_strength", "key", "state", "digest",
    ]  # fmt: skip
    assert points["key"].to_pylist() == [point.key for point in plan.points]
    assert len(set(points["digest"].to_pylist())) == 4
    long = pq.read_table(folder / "evaluation.parquet")
    one = SweepFolder(folder).table(plan.points[3].key, "evaluation")
    rows = [row for row in long.to_pylist() if (row["point"], row["replicate"]) == (1, 1)]
    assert [row["value"] for row in rows] == one["value"].to_pylist()
    assert {row["world.roles.influence_strength"] for row in rows} == {1.5}


@pytest.mark.compiled
def test_resume__of_a_finished_sweep_computes_nothing(swept) -> None:
    _, folder = swept
    before = tables(folder)
    outcome = resume_sweep(folder, options=SERIAL)
    assert (outcome.n_computed, outcome.n_done) == (0, 4)
    assert tables(folder) == before
    assert len(started(folder)) == 4


@pytest.mark.compiled
def test_sweep__that_grows_computes_only_what_is_new(swept, tmp_path) -> None:
    import shutil

    plan, folder = swept
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    wider = plan_of(tmp_path, TINY + OVER.replace("0.5,", "0.5, 1.0,"), "sweep.replicates=1")
    outcome = run_sweep(wider, folder=copy, options=SERIAL)
    assert (outcome.n_points, outcome.n_computed) == (3, 1)
    assert started(copy)[4:] == [wider.points[1].key]
    # And back: nothing was lost.
    assert run_sweep(plan, folder=copy, options=SERIAL).n_computed == 0
    assert tables(copy) == tables(folder)


@pytest.mark.compiled
def test_keep_full__stores_every_table(tmp_path) -> None:
    plan = plan_of(tmp_path, TINY + OVER, "sweep.keep=full", "sweep.replicates=1")
    run_sweep(plan, folder=tmp_path / "s", options=SERIAL)
    names = {p.stem for p in (tmp_path / "s" / "points" / plan.points[0].key).glob("*.parquet")}
    assert {"gateways", "groups", "truth", "evaluation"} <= names


@pytest.mark.compiled
def test_status__of_a_sweep_and_of_a_point(swept) -> None:
    plan, folder = swept
    got = folder_status(folder)
    assert (got.state, got.n_points, got.n_done, got.n_pending) == ("done", 4, 4, 0)
    assert got.peak_mib > 50
    assert folder_status(folder / "points" / plan.points[0].key).state == "done"
    with pytest.raises(ResultError):
        folder_status(folder / "points")


@pytest.mark.compiled
def test_compare__of_a_sweep_with_itself_finds_nothing(swept) -> None:
    _, folder = swept
    got = compare_folders(folder, folder)
    assert (got.keys, got.values, got.only_first, got.only_second) == ((), (), (), ())
    assert got.n_values > 10


@pytest.mark.compiled
def test_compare__finds_keys_and_paired_differences(swept, tmp_path) -> None:
    _, folder = swept
    other = plan_of(tmp_path, TINY + OVER, "world.roles.influence=8")
    run_sweep(other, folder=tmp_path / "s", options=SERIAL)
    got = compare_folders(folder, tmp_path / "s")
    assert [(k.key, k.first, k.second) for k in got.keys] == [("world.roles.influence", 6, 8)]
    value = next(v for v in got.values if v.metric == "n_rows")
    rows = [pq.read_table(f / "evaluation.parquet").to_pylist() for f in (folder, tmp_path / "s")]
    first, second = (
        [r["value"] for r in side if r["metric"] == "n_rows"
         and f"world.roles.influence_strength = {r['world.roles.influence_strength']:g}"
         == value.point]
        for side in rows
    )  # fmt: skip
    difference = np.array(second) - np.array(first)
    # Student's t with one degree of freedom: 12.7062.
    half = 12.7062 * difference.std(ddof=1) / np.sqrt(2)
    assert value.pairs == 2
    np.testing.assert_allclose(
        value.difference, [difference.mean(), difference.mean() - half, difference.mean() + half],
        rtol=1e-4,
    )  # fmt: skip


@pytest.mark.compiled
def test_compare__of_runs_gives_intervals(swept) -> None:
    plan, folder = swept
    a, b = (folder / "points" / plan.points[i].key for i in (0, 2))
    got = compare_folders(a, b)
    assert [k.key for k in got.keys] == ["world.roles.influence_strength"]
    auc = next(v for v in got.values if v.metric == "auc")
    (x, x_low, x_high), (y, y_low, y_high) = auc.first, auc.second
    expected = [
        y - x, y - x - np.hypot(y - y_low, x_high - x), y - x + np.hypot(y_high - y, x - x_low),
    ]  # fmt: skip
    np.testing.assert_allclose(auc.difference, expected, rtol=1e-12)
    assert "evaluation.parquet: differs" in got.files


def test_is_sound__sees_every_kind_of_damage(tmp_path) -> None:
    place = SweepFolder(tmp_path)

    def fresh() -> Path:
        shutil.rmtree(place.point("k"), ignore_errors=True)
        with draft_result(place.point("k")) as draft:
            draft.write_text("config.toml", "x = 1")
            draft.write_status("run")
        return place.point("k")

    folder = fresh()
    assert place.is_sound("k")
    (folder / "config.toml").write_text("x = 2")
    assert not place.is_sound("k")
    for damage in (b"", b"{", b"[]", b'{"files": {}}', b'{"files": 3}'):
        (fresh() / "status.json").write_bytes(damage)
        assert not place.is_sound("k"), damage
    (fresh() / "config.toml").unlink()
    assert not place.is_sound("k")


def test_stored_plan__of_a_folder_that_is_none(tmp_path) -> None:
    with pytest.raises(ResultError, match=r"has no sweep\.toml"):
        stored_plan(tmp_path)
    with pytest.raises(ResultError, match="does not exist"):
        stored_plan(tmp_path / "nowhere")


def test_status__as_json_is_plain(tmp_path) -> None:
    plan = plan_of(tmp_path)
    place = SweepFolder(tmp_path / "s")
    place.prepare().release()
    place.write_config(plan.toml)
    got = folder_status(tmp_path / "s")
    assert (got.state, got.n_pending, got.seconds_left) == ("incomplete", 4, None)
    assert json.loads(json.dumps(dataclasses.asdict(got)))["n_points"] == 4


def test_status__says_that_kernels_are_compiled_until_the_first_point_starts(tmp_path) -> None:
    plan = plan_of(tmp_path)
    place = SweepFolder(tmp_path / "s")
    lock = place.prepare()
    place.write_config(plan.toml)
    got = []
    for event in ("sweep_started", "compiling", "started"):
        more = {"point": plan.points[0].key, "worker": "w", "pid": 1} if event == "started" else {}
        place.journal().write(event, **more)
        got.append(folder_status(tmp_path / "s").is_compiling)
    lock.release()
    assert got == [False, True, False]
