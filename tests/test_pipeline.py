from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import gateway
from gateway import provenance
from gateway.errors import ConfigError, LogError, ResultError
from gateway.figures import FIGURES, figure
from gateway.pipeline import execute, obtain_inputs, simulate_only
from gateway.publish import redraw, run
from gateway.report import render_report
from gateway.results import (
    Result,
    compare_results,
    draft_result,
    load_config,
    open_result,
    result_folder,
    result_id,
)
from tests.study_tables import sweep_evaluation
from tests.worlds import small_config

# Whole runs: minutes as plain Python.
pytestmark = pytest.mark.compiled

TABLES = (
    "curves", "evaluation", "event_study", "explanations", "gateways", "groups", "reliability",
    "strikes", "summary", "truth",
)  # fmt: skip
# No event study: in so small a world no group is flagged.
FIGURE_NAMES = (
    "probability_curves", "top_gateways", "funnel", "precision_recall", "direct_effects",
    "reliability",
)  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(small_config(), folder=tmp_path_factory.mktemp("runs") / "first", n_threads=2)


@pytest.fixture(scope="module")
def world_and_log():
    """The world of ``small_config``, simulated once."""
    return obtain_inputs(small_config())


def figures_of(stored: Result) -> dict[str, pa.Table]:
    """What each figure that a result allows would show."""
    plotted = {each.NAME: each.plotted(stored.tables()) for each in FIGURES}
    return {name: data for name, data in plotted.items() if data is not None}


def page_of(stored: Result) -> str:
    """The report with captions, but nothing in its figures, which take seconds to draw."""
    captions = {name: figure(name).caption(data) for name, data in figures_of(stored).items()}
    return render_report(
        stored.tables(), {name: ("<svg></svg>", text) for name, text in captions.items()},
        config_toml="", provenance=stored.provenance, title="A run",
    )  # fmt: skip


def test_run__stores_every_table_figure_and_the_report(result):
    assert result.table_names == TABLES
    figures = {path.name for path in (result.folder / "figures").iterdir()}
    endings = ("pdf", "svg", "png", "csv")
    assert figures == {f"{name}.{ending}" for name in FIGURE_NAMES for ending in endings}
    assert (result.folder / "tables" / "ranked.tex").is_file()
    report = result.text("report.html")
    assert "<html" in report
    assert result.config == small_config()


def test_run__same_config_and_seed_same_bytes_for_one_and_two_threads(result, tmp_path):
    """Every table; figures and report are those of the tables (``test_redraw``)."""
    again = execute(small_config(), folder=tmp_path / "again", n_threads=1)
    assert len(again.digests()) == len(TABLES)
    assert again.digests().items() <= result.digests().items()
    assert len(result.digests()) == len(TABLES) + 4 * len(FIGURE_NAMES)


INTERVENTIONS = (
    "interventions=[{kind='gysj_seed_filter', arm='filter', start=60, roles=['planted']}, "
    "{kind='demotion', arm='top 5', start=60, share=0.9, from_detector='spike', top=5}, "
    "{kind='invite_cap', arm='filter', start=2020-03-01, most=1}]"
)
ARM_TABLES = (
    "intervention_groups", "intervention_sources", "intervention_users", "interventions",
)  # fmt: skip


def test_run__with_interventions_stores_their_arms_beside_the_factual_run(result, tmp_path):
    config = small_config(INTERVENTIONS, "truth.total=1")
    got = execute(config, folder=tmp_path / "arms", n_threads=1)
    assert set(got.table_names) == {*TABLES, *ARM_TABLES}
    assert got.table("interventions")["arm"].to_pylist() == ["filter", "top 5"]
    chosen = got.table("intervention_groups").to_pylist()
    by_rank = got.table("gateways").to_pylist()
    expected = {row["group"] for row in by_rank if row["rank"] is not None and row["rank"] <= 5}
    assert {row["group"] for row in chosen if row["arm"] == "top 5"} == expected
    # The factual run is the one without interventions, but for the truth's new columns and
    # what is measured against them.
    differ = {d.name for d in compare_results(result, got) if d.what == "differs"}
    assert differ <= {"truth.parquet", "evaluation.parquet"}
    measures = got.table("evaluation")
    known = measures.filter(pc.not_equal(measures["truth"], "total"))
    assert known.equals(result.table("evaluation"))
    assert got.table("truth")["total_effect"].null_count == 120 - 1
    assert 'id="interventions"' in page_of(got)
    assert "interventions" in figures_of(got)
    again = execute(config, folder=tmp_path / "again", n_threads=2)
    assert len(again.digests()) == len(TABLES) + len(ARM_TABLES)
    assert again.digests() == got.digests()


def test_run__refuses_unknown_groups_before_it_simulates(tmp_path):
    config = small_config("truth.total_groups=['g9']")
    with pytest.raises(ConfigError, match="total_groups must be groups of the world"):
        execute(config, folder=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_run__another_seed_gives_other_tables(result, tmp_path):
    other = execute(small_config("experiment.seed=6"), folder=tmp_path / "other")
    differ = {d.name for d in compare_results(result, other) if d.what == "differs"}
    assert "gateways.parquet" in differ


def test_run__returns_a_finished_result_untouched(result):
    before = (result.folder / "status.json").stat().st_mtime_ns
    again = run(small_config(), folder=result.folder)
    assert again.folder == result.folder
    assert (result.folder / "status.json").stat().st_mtime_ns == before


def test_run__never_replaces_another_result_unasked(result, tmp_path):
    import shutil

    copy = tmp_path / "keep"
    shutil.copytree(result.folder, copy)
    with pytest.raises(ResultError, match="another config"):
        execute(small_config("experiment.seed=6"), folder=copy)
    with pytest.raises(ResultError, match="is not empty"):
        simulate_only(small_config("experiment.seed=6"), copy)
    assert compare_results(result, open_result(copy)) == ()
    assert execute(small_config("experiment.seed=6"), folder=copy, force=True).config != (
        result.config
    )


def test_open_result__refuses_one_of_another_model_version(result, tmp_path):
    import shutil

    copy = tmp_path / "older"
    shutil.copytree(result.folder, copy)
    made = json.loads((copy / "provenance.json").read_text())
    (copy / "provenance.json").write_text(json.dumps(made | {"model_version": 2}))
    with pytest.raises(ResultError, match=r"model version 2; this is version \d+: compute it anew"):
        open_result(copy)


def test_simulate_only__refuses_a_real_log_and_is_no_run(tmp_path):
    from gateway.config import parse_config

    text = 'experiment.name = "a"\nlog.path = "a.csv"\ntargets.groups = ["b"]'
    with pytest.raises(ConfigError, match="cannot be simulated"):
        simulate_only(parse_config(text), tmp_path / "s")
    simulate_only(small_config(), tmp_path / "s")
    with pytest.raises(ResultError, match="a simulation or part of a result"):
        open_result(tmp_path / "s")


def test_run__of_a_log_that_has_changed_is_another_run(tmp_path, monkeypatch, world_and_log):
    from gateway.config import parse_config

    monkeypatch.chdir(tmp_path)
    world_and_log.joins.to_parquet("log.parquet")
    text = """
    experiment.name = "real"
    log.path = "log.parquet"
    targets.groups = ["g0000001", "g0000002", "g0000003"]
    spike = { min_joiners = 5, min_spiking = 1 }
    """
    first = execute(parse_config(text))
    assert first.config.log.digest is not None
    obtain_inputs(small_config("experiment.seed=6")).joins.to_parquet("log.parquet")
    second = execute(parse_config(text))
    assert second.folder != first.folder
    with pytest.raises(LogError, match="is not the file"):
        execute(first.config, folder=tmp_path / "again")


def test_provenance__says_what_made_it(result):
    p = result.provenance
    expected = {
        "gateway_version", "model_version", "python", "packages", "commit", "dirty", "seed",
        "config_digest", "cpu", "cores", "threads", "compute_seconds", "peak_memory_mib",
        "diff", "lock_digest", "memory_mib", "process_cpu_seconds",
    }  # fmt: skip
    assert expected <= set(p)
    assert p["seed"] == 5
    assert p["threads"] == 2
    assert p["packages"]["numpy"] == np.__version__


def test_tables__hold_no_metadata_of_the_machine(result):
    for name in TABLES:
        assert pq.read_schema(result.folder / f"{name}.parquet").metadata is None


def test_gateways__never_list_a_target(result):
    groups = result.table("groups").to_pylist()
    targets = {g["group"] for g in groups if g["is_target"]}
    assert targets
    assert not targets & set(result.table("gateways")["group"].to_pylist())


def test_targets__are_chosen_by_the_rule(result):
    for g in result.table("groups").to_pylist():
        meets = g["country"] == "US" and g["strikes"] >= 5
        assert g["is_target"] == meets


def test_redraw__of_a_sweep_draws_what_its_tables_allow(tmp_path):
    """A folder of tables without config and status: one row per point and metric."""
    with pytest.raises(ResultError, match="holds no tables"):
        redraw(tmp_path)
    table = sweep_evaluation(np.random.default_rng(1))
    pq.write_table(table, tmp_path / "evaluation.parquet")
    redraw(tmp_path)
    got = {path.name for path in (tmp_path / "figures").iterdir()}
    assert got == {f"phase_diagram.{ending}" for ending in ("pdf", "svg", "png", "csv")}
    with pytest.raises(ResultError, match="no finished result"):
        redraw(tmp_path, report_only=True)


def test_redraw__gives_the_same_figures_from_tables_alone(result, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(result.folder, copy)
    shutil.rmtree(copy / "figures")
    (copy / "report.html").unlink()
    assert compare_results(result, redraw(copy)) == ()
    assert (copy / "report.html").read_bytes() == (result.folder / "report.html").read_bytes()


def test_result_id__changes_with_the_config_and_the_seed():
    ids = {result_id(small_config(*o)) for o in ([], ["experiment.seed=6"], ["score.folds=4"])}
    assert len(ids) == 3
    assert result_folder(small_config(), root="r") == Path("r/small") / result_id(small_config())


def test_draft__leaves_nothing_behind_when_it_fails(tmp_path):
    def fail():
        with draft_result(tmp_path / "new") as draft:
            draft.write_text("a.txt", "half")
            raise LogError("stop")

    with pytest.raises(LogError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_draft__refuses_a_folder_that_is_not_a_result(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(ResultError, match="a folder with other files"):
        execute(small_config(), folder=tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_draft__replaces_an_older_result_only_when_the_new_one_stands(tmp_path):
    final = tmp_path / "r"
    for content in ("old", "new"):
        with draft_result(final, replaces="run") as draft:
            draft.write_text("log.txt", content)
            draft.write_status("run")
            if content == "new":
                assert (final / "log.txt").read_text() == "old"
    assert (final / "log.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize(
    ("what", "says"),
    [("missing", "does not exist"), ("empty", "holds no finished result")],
)
def test_open_result__says_what_is_wrong(tmp_path, what, says):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultError, match=says):
        open_result(tmp_path / what)


def test_load_config__says_what_is_wrong(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"[experiment]\nname = '\xe9'\n")
    with pytest.raises(ConfigError, match="must be UTF-8; byte 21 is not"):
        load_config(tmp_path / "latin.toml")
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "nowhere.toml")


def test_unreachable_rule__ends_in_a_message_and_no_folder(tmp_path):
    config = small_config("targets.min_strikes=100000")
    with pytest.raises(LogError, match="none does"):
        execute(config, folder=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_library__does_what_the_command_does(result):
    config = small_config()
    world = gateway.draw_world(config)
    joins = gateway.simulate(world)
    groups = result.table("groups")
    names = groups.filter(groups["is_target"])["group"].to_pylist()
    targets = gateway.named_targets(joins, names)
    found = gateway.detect(
        joins, targets, horizon=60, seed=5, min_joiners=5, min_spiking=2
    ).to_arrow()
    assert found.equals(result.table("gateways"))


def test_platform__of_a_real_log_knows_no_roles(tmp_path, world_and_log):
    joins = world_and_log.joins
    joins.to_parquet(tmp_path / "log.parquet")
    text = "\n".join(
        [
            "[experiment]",
            'name = "real"',
            "[log]",
            f"path = {json.dumps(str(tmp_path / 'log.parquet'))}",
            "[targets]",
            'groups = ["g0000001", "g0000002", "g0000003"]',
        ]
    )
    from gateway.config import parse_config

    platform = obtain_inputs(parse_config(text))
    assert platform.joins.n_joins == joins.n_joins
    assert set(platform.role.tolist()) == {"unknown"}
    digest = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(LogError, match="is not the file that the config names"):
        obtain_inputs(parse_config(text, overrides=[f"log.digest={digest}"]))


def test_groups_table__has_the_columns_of_the_contract(result):
    expected = {
        "group": pa.string(), "role": pa.string(), "mechanism": pa.string(),
        "strength": pa.float64(), "topic": pa.int16(), "country": pa.string(),
        "created": pa.int32(), "size": pa.int64(), "is_target": pa.bool_(),
        "strikes": pa.int64(),
    }  # fmt: skip
    schema = result.table("groups").schema
    assert {f.name: f.type for f in schema} == expected


def test_run__of_several_detectors_stores_and_shows_them_all(tmp_path):
    config = small_config('detect.detectors=["order","survival","spike"]')
    stored = execute(config, folder=tmp_path / "r")
    gateways, evaluation = stored.table("gateways"), stored.table("evaluation")
    assert list(dict.fromkeys(gateways["detector"].to_pylist())) == ["order", "survival", "spike"]
    assert set(config.detect.detectors) < set(evaluation["detector"].to_pylist())
    page = page_of(stored)
    assert all(f'data-detector="{name}"' in page for name in config.detect.detectors)
    curve = figures_of(stored)["precision_recall"]
    assert set(config.detect.detectors) <= set(curve["detector"].to_pylist())


def test_run__without_a_detector_that_needs_scores_trains_nothing(tmp_path):
    config = small_config('detect.detectors=["hitting","coefficient"]')
    stored = execute(config, folder=tmp_path / "r")
    assert not {"curves", "explanations", "reliability"} & set(stored.table_names)
    assert not any(":" in name for name in stored.table("evaluation")["detector"].to_pylist())
    report = page_of(stored)
    assert "The detector hitting ranks" in report
    assert "No scorer was trained" in report
    drawn = figures_of(stored)
    assert {"top_gateways", "precision_recall"} <= set(drawn)
    assert "funnel" not in drawn


def test_environment__keeps_the_diff_of_a_checkout_that_was_changed(tmp_path, monkeypatch):
    """A checkout of its own: the package's may be clean."""
    package = tmp_path / "gateway"
    package.mkdir()
    (package / "provenance.py").write_text("x = 1\n")
    (tmp_path / "requirements.txt").write_text("numpy==1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    for remembered in (provenance._commit, provenance._lock_digest):
        remembered.cache_clear()
    clean = provenance.describe_environment()
    (package / "provenance.py").write_text("x = 2\n")
    (tmp_path / "new.py").write_text("")
    provenance._commit.cache_clear()
    changed = provenance.describe_environment()
    monkeypatch.setattr(provenance, "_LONGEST_DIFF", 10)
    provenance._commit.cache_clear()
    cut = provenance.describe_environment()["diff"]
    for remembered in (provenance._commit, provenance._lock_digest):
        remembered.cache_clear()
    assert (clean["dirty"], clean["diff"]) == (False, None)
    assert clean["lock_digest"] == hashlib.sha256(b"numpy==1\n").hexdigest()
    assert changed["dirty"]
    assert changed["commit"] == clean["commit"]
    assert "-x = 1\n+x = 2\n" in changed["diff"]
    assert "new file: new.py\n" in changed["diff"]
    assert "... cut; the sha256 of the whole is" in cut
