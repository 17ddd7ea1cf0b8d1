"""Claims: read, computed, judged; what is wrong is said before or instead of anything stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.errors import ConfigError, ResultError
from gateway.reproduce import Claim, claims_as_markdown, read_claims, reproduce_claims
from gateway.reproduce.judging import metric_of
from tests.worlds import SMALL

ROOT = Path(__file__).parents[1]

CLAIM: dict[str, Any] = {
    "id": "users", "claim": "How many users have a join", "config": "tiny.toml",
    "table": "log_shape", "where": {"statistic": "joins_mean"}, "value": "value",
    "expected": 7.0, "tolerance": 5.0, "reason": "it is small", "seconds": 1.0, "when": "quick",
}  # fmt: skip


def write(folder: Path, *claims: dict[str, Any], config: str = SMALL) -> Path:
    file = folder / "claims.toml"
    file.write_text(tomli_w.dumps({"claims": [CLAIM | claim for claim in claims]}))
    (folder / "tiny.toml").write_text(config)
    return file


def made(**changes: Any) -> Claim:
    return Claim.model_validate(CLAIM | changes)


def call(file: Path, *options: str) -> Any:
    out = ["--file", str(file), "--out", str(file.parent / "out")]
    return CliRunner().invoke(app, ["reproduce", *out, *options])


# The project's own claims ----------------------------------------------------------------


def test_list__is_the_table_of_the_projects_claims() -> None:
    claims = read_claims(ROOT / "claims.toml")
    got = CliRunner().invoke(app, ["reproduce", "--list", "--file", str(ROOT / "claims.toml")])
    assert claims_as_markdown(claims).strip() == got.stdout.strip()
    assert [line.count("|") for line in got.stdout.splitlines()] == [7] * (2 + len(claims))


def test_claims__are_about_configs_and_settings_that_exist() -> None:
    from gateway.results import load_config

    claims = read_claims(ROOT / "claims.toml")
    assert {claim.when for claim in claims} == {"quick", "full"}
    for claim in claims:
        load_config(ROOT / claim.config, overrides=claim.set)


# Reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tolerance": -1.0}, "tolerance in item 1 of claims must be a number, 0 or above; got -1"),
        ({"tolerence": 1.0}, "is not a known key (did you mean 'tolerance'?)"),
        ({"when": "slow"}, "must be one of 'quick', 'full'; got \"slow\""),
        ({"expected": float("nan")}, "expected in item 1 of claims must be a number"),
        ({"take": "median"}, "must be one of 'only', 'mean', 'count_below'"),
        ({"take": "count_below"}, "must be 'count_below' beside below, and only there"),
        ({"below": 0.05}, "must be 'count_below' beside below, and only there"),
        ({"weight": "n_joins"}, "must be 'mean' beside weight"),
        ({"claim": "two\nlines"}, "must be one line of at most 400 characters"),
        ({"where": {"metric": 0.5}}, "where in item 1 of claims"),
    ],
)
def test_read_claims__says_what_is_wrong_and_where(tmp_path, changes, expected) -> None:
    with pytest.raises(ConfigError) as caught:
        read_claims(write(tmp_path, changes))
    assert expected in str(caught.value)
    assert re.search(r":\d+: ", str(caught.value))


def test_read_claims__tells_every_problem_at_once(tmp_path) -> None:
    file = tmp_path / "claims.toml"
    file.write_text("[[claims]]\nid = 'A B'\n[[claims]]\nid = 'b'\nwhen = 'never'\n")
    with pytest.raises(ConfigError) as caught:
        read_claims(file)
    said = [str(problem) for problem in caught.value.problems]
    assert any("id in item 1 of claims must be a name" in line for line in said)
    assert any("when in item 2 of claims must be" in line for line in said)
    assert sum("expected in item" in line and "is missing" in line for line in said) == 2


def test_read_claims__refuses_two_of_one_name(tmp_path) -> None:
    with pytest.raises(ConfigError, match="must differ from every other"):
        read_claims(write(tmp_path, {}, {}))


@pytest.mark.parametrize("text", ["", "claims = 3", "claims = []", "other = 1", "claims = [1]"])
def test_read_claims__refuses_a_file_without_claims(tmp_path, text) -> None:
    (tmp_path / "claims.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_claims(tmp_path / "claims.toml")


# Numbers ---------------------------------------------------------------------------------

TABLE = pa.table(
    {
        "group": ["a", "b", "c", "d"], "kind": ["x", "x", "y", "y"], "n": [1, 3, 5, 0],
        "effect": pa.array([0.1, 0.3, None, 0.9]), "flagged": [True, False, False, False],
    }
)  # fmt: skip
GROUPS = pa.table({"group": ["d", "c", "b", "a"], "role": ["hub", "hub", "influence", "influence"]})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"where": {"group": "b"}, "value": "effect"}, 0.3),
        ({"where": {"flagged": True}, "value": "n", "scale": 100.0}, 100.0),
        ({"where": {"n": 5}, "value": "n"}, 5.0),
        ({"where": {"kind": "x"}, "value": "effect", "take": "mean"}, 0.2),
        ({"where": {"role": "influence"}, "value": "effect", "take": "mean", "weight": "n"}, 0.25),
        # Of c nothing is known; d weighs nothing.
        ({"where": {}, "value": "effect", "take": "mean", "weight": "n"}, 0.25),
        ({"where": {}, "value": "effect", "take": "count_below", "below": 0.9}, 2.0),
    ],
)
def test_metric_of__takes_what_the_claim_says(changes, expected) -> None:
    assert metric_of(made(**changes), TABLE, groups=GROUPS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"where": {"group": "z"}, "value": "n"}, "has no row"),
        ({"where": {"kind": "x"}, "value": "n"}, "must have one row; got 2"),
        ({"where": {}, "value": "efect"}, "has no column 'efect'; it has: group, kind"),
        ({"where": {"knd": "x"}, "value": "n"}, "has no column 'knd'"),
        ({"where": {"n": "five"}, "value": "n"}, "column 'n' holds int64; got 'five'"),
        ({"where": {"group": "a"}, "value": "kind"}, "must hold numbers"),
    ],
)
def test_metric_of__says_what_a_table_lacks(changes, expected) -> None:
    with pytest.raises(ResultError) as caught:
        metric_of(made(**changes), TABLE)
    assert expected in str(caught.value)
    assert "claim 'users'" in str(caught.value)


# The command -----------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.usefixtures("undrawn")
def test_reproduce__inside_is_0_and_outside_is_4(tmp_path) -> None:
    far = {"id": "far", "expected": 99.0}
    slow = {"id": "slow", "when": "full", "table": "evaluation", "where": {"metric": "none"}}
    file = write(tmp_path, {}, far, slow)
    inside = call(file, "--claim", "users", "--json")
    assert inside.exit_code == 0
    assert [row["within"] for row in json.loads(inside.stdout)["claims"]] == [True]
    outside = call(file)
    assert outside.exit_code == 4
    assert "OUTSIDE" in outside.stdout
    got = pq.read_table(tmp_path / "out" / "claims.parquet")
    assert got["id"].to_pylist() == ["users", "far"]
    assert got["within"].to_pylist() == [True, False]
    assert 2.0 <= got["measured"][0].as_py() <= 12.0


@pytest.mark.compiled
@pytest.mark.usefixtures("undrawn")
def test_reproduce__reads_tables_of_one_run_for_all_its_claims(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    detector = {"table": "gateways", "where": {"detector": "spike"}, "value": "q_value",
                "take": "count_below", "below": 1e-9, "expected": 0.0}  # fmt: skip
    role = {"id": "role", "table": "truth", "where": {"role": "ordinary"}, "take": "mean",
            "value": "direct_effect", "weight": "n_joins", "expected": 0.0}  # fmt: skip
    claims = read_claims(write(tmp_path, detector, role))
    found = reproduce_claims(claims, beside=tmp_path, folder=tmp_path / "out")
    assert found.n_outside == 0
    assert len(list((tmp_path / "results" / "small").iterdir())) == 1
    missing = {"id": "none", "table": "evaluation", "where": {"metric": "glory"}}
    claims = read_claims(write(tmp_path, detector, missing, {"id": "no-table", "table": "glory"}))
    with pytest.raises(ResultError) as caught:
        reproduce_claims(claims, beside=tmp_path, folder=tmp_path / "second")
    assert "claim 'none': table 'evaluation' where metric = glory has no row" in str(caught.value)
    assert "has no table 'glory'" in str(caught.value)
    assert not (tmp_path / "second").exists()


def test_reproduce__refuses_unknown_configs_before_it_runs(tmp_path) -> None:
    file = write(tmp_path, {"config": "no.toml"}, {"id": "b", "set": ["world.user=3"]})
    with pytest.raises(ConfigError) as caught:
        reproduce_claims(read_claims(file), beside=tmp_path, folder=tmp_path / "out")
    assert "no.toml does not exist" in str(caught.value)
    assert "world.user is not a known key" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_reproduce__refuses_a_sweep(tmp_path) -> None:
    file = write(tmp_path, {}, config=SMALL + "[sweep.over]\n'world.users' = [1_000, 2_000]\n")
    with pytest.raises(ConfigError, match="must be of one run"):
        reproduce_claims(read_claims(file), beside=tmp_path, folder=tmp_path / "out")


def test_reproduce__suggests_a_claim(tmp_path) -> None:
    result = call(write(tmp_path, {}), "--claim", "user")
    assert isinstance(result.exception, ConfigError)
    assert "did you mean 'users'?" in str(result.exception)
