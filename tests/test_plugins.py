"""Detectors and scorers that installed packages bring: by name in configs and on the line."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import gateway
from gateway.__main__ import main
from gateway.config import config_json_schema, config_to_toml, parse_config
from gateway.detect import Detection
from gateway.errors import ConfigError, GatewayError
from gateway.pipeline import execute, pin_inputs
from gateway.results import open_result

MODULE = """
import numpy as np

def size(joins, targets, *, power=1.0):
    return joins.sizes() ** power

def fails(joins, targets):
    return 1 / 0

def nothing(joins, targets):
    return None

def texts(joins, targets):
    return ["a"] * joins.n_groups

def no_arguments():
    return 1

class Flat:
    name = "flat"
    def tune(self, prefixes, users):
        return self
    def fit(self, prefixes, users):
        return self
    def logits(self, prefixes, users):
        return np.zeros((3, len(prefixes.group)))

class Undefined(Flat):
    def logits(self, prefixes, users):
        return np.full((3, len(prefixes.group)), np.nan)

class Short(Flat):
    def logits(self, prefixes, users):
        return np.zeros((3, 1))

def bayes():
    from sklearn.naive_bayes import BernoulliNB
    return BernoulliNB()
"""
DETECTORS = {name: f"brought_here:{name}" for name in ("size", "fails", "nothing", "texts")} | {
    "no_arguments": "brought_here:no_arguments", "gone": "brought_here:gone",
    "a_module": "brought_here:np", "ordered": "gateway.detect.order:detect_order",
}  # fmt: skip
SCORERS = {"flat": "brought_here:Flat", "undefined": "brought_here:Undefined",
           "short": "brought_here:Short", "bayes": "brought_here:bayes"}  # fmt: skip


def install(folder: Path, version: str, *, package: str = "my-package") -> None:
    """Put a package there as an installer does, its entry points with it."""
    (folder / "brought_here.py").write_text(MODULE)
    for old in folder.glob(f"{package}-*.dist-info"):
        old.rename(old.with_suffix(".gone"))
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    groups = {"gateway.detectors": DETECTORS, "gateway.scorers": SCORERS}
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
            for group, names in groups.items()
        )
    )


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "1.2")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("brought_here", None)


@pytest.fixture
def written(tmp_path) -> str:
    """A config on the example's log."""
    example = gateway.example_log()
    example.joins.to_parquet(tmp_path / "log.parquet")
    return textwrap.dedent(f"""
        experiment.name = "own"
        log.path = "{tmp_path / "log.parquet"}"
        targets.groups = {json.dumps(example.targets.names(example.joins))}
        detect.permutations = 0
        """)


def refusal(capsys, *words: object) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gateway", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    return capsys.readouterr().err


# Detectors -----------------------------------------------------------------------------------


@pytest.mark.compiled
def test_run__knows_a_detector_of_an_installed_package_and_says_which(installed, written, tmp_path):
    config = parse_config(written, overrides=['detect.detectors=["size", "ordered", "order"]',
                                              "detect.options.size.power=0.5",
                                              "detect.options.size.min_joiners=100"])  # fmt: skip
    made = execute(config, folder=tmp_path / "result")
    found = made.table("gateways").to_pylist()
    joins = gateway.example_log().joins
    sizes = dict(zip(joins.groups.to_pylist(), joins.sizes().tolist(), strict=True))
    ours = [row for row in found if row["detector"] == "size"]
    assert {row["group"]: row["score"] for row in ours} == pytest.approx(
        {row["group"]: sizes[row["group"]] ** 0.5 for row in ours}
    )
    assert all((row["rank"] is not None) == (sizes[row["group"]] >= 100) for row in ours)
    # A detection of another name stands under the name that it was asked for by.
    strip = [{**row, "detector": ""} for row in found if row["detector"] == "ordered"]
    assert strip == [{**row, "detector": ""} for row in found if row["detector"] == "order"]
    said = json.loads((made.folder / "provenance.json").read_text())["plugins"]
    assert said == {"detector size (my-package 1.2)": "brought_here:size",
                    "detector ordered (my-package 1.2)":
                    "gateway.detect.order:detect_order"}  # fmt: skip
    assert open_result(made.folder).config.detect.brought == {
        "size": "my-package 1.2", "ordered": "my-package 1.2"
    }  # fmt: skip


def test_config__of_a_package_that_is_gone_or_another_is_read_but_not_run(
    installed, written, monkeypatch
):
    config = pin_inputs(parse_config(written, overrides=['detect.detectors=["size"]']))
    text = config_to_toml(config)
    install(installed, "1.3")
    again = parse_config(text)
    assert again == config
    with pytest.raises(ConfigError, match=r"detector size must be brought by my-package 1\.2, as "
                                          r"the config says; got my-package 1\.3"):  # fmt: skip
        pin_inputs(again)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(installed)])
    assert parse_config(text) == config
    with pytest.raises(ConfigError, match=r"size must be installed; got my-package 1\.2"):
        pin_inputs(config)
    with pytest.raises(ConfigError, match=r"must be one of 'spike', .*'edges'; got \"size\""):
        parse_config(written, overrides=['detect.detectors=["size"]'])


def test_name__that_two_packages_bring_is_refused(installed, written):
    install(installed, "7", package="other")
    info = installed / "other-7.dist-info/entry_points.txt"
    info.write_text("[gateway.detectors]\nsize = os.path:join\n")
    with pytest.raises(GatewayError, match=r"detector size must be brought by one package; got "
                                           r"my-package 1\.2 and other 7"):  # fmt: skip
        parse_config(written, overrides=['detect.detectors=["size"]'])


def test_schema_and_help__name_what_is_installed(installed, monkeypatch, capsys):
    monkeypatch.setattr("gateway.config.json_schema", lambda model: model.model_json_schema())
    section = config_json_schema()["$defs"]["DetectSection"]["properties"]["detectors"]
    assert section["items"]["enum"][-3:] == ["ordered", "size", "texts"]
    monkeypatch.setattr(sys, "argv", ["gateway", "detect", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "nothing," in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fails", "must not fail; got ZeroDivisionError: division by zero (brought_here.py, line"),
        ("nothing", "gives no scores: score must be one number for each of the log's 400 groups"),
        ("texts", "gives no scores: score must be numbers, one for each group"),
        ("no_arguments", "must take a log, a target set and what it is given; got too many"),
        ("gone", "must not fail; got AttributeError: module 'brought_here' has no attribute"),
        ("a_module", "must be a function of a log and a target set; got module"),
    ],
)
def test_detect__says_what_an_outside_detector_does_wrong(
    installed, written, tmp_path, capsys, name, said
):
    (tmp_path / "c.toml").write_text(written)
    got = refusal(capsys, "run", tmp_path / "c.toml", "--set", f'detect.detectors=["{name}"]',
                  "--out", tmp_path / "r")  # fmt: skip
    assert got.splitlines()[-1].startswith(f"error: detector {name} (my-package 1.2) {said}")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("size.powr=2", "got an unexpected keyword argument 'powr' (its arguments are (joins, "),
        ("size.alpha=2", "detect.options.size.alpha must be in (0, 1); got 2"),
        ("spike.alpha=0.1", "is not where the options of this detector stand: they are [spike]"),
        ("order2.alpha=0.1", 'must be among detect.detectors (["size"])'),
    ],
)
def test_options__of_an_outside_detector_are_checked(
    installed, written, tmp_path, capsys, override, said
):
    (tmp_path / "c.toml").write_text(written)
    got = refusal(capsys, "run", tmp_path / "c.toml", "--set", 'detect.detectors=["size"]',
                  "--set", f"detect.options.{override}", "--out", tmp_path / "r")  # fmt: skip
    assert said in got


def _detection(joins, targets, **changes):
    from dataclasses import replace

    return replace(Detection.from_scores(joins, targets, joins.sizes()), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p_value": np.full(400, 2.0)}, r"p_value of detector own must be in \[0, 1\]"),
        ({"rank": np.zeros(3, np.int64)}, r"rank of detector own must be one value for each of"),
        ({"flagged": np.zeros(400)}, r"flagged of detector own must be of another type; got float"),
        ({"candidate": np.ones(400, bool)}, r"candidate of detector own must be False of target"),
        ({"extra": {"mine": np.zeros(2)}}, r"mine of detector own must be one value for each"),
        ({"groups": "abc"}, r"groups of detector own must be the log's 400 groups"),
    ],
)
def test_detection__of_an_outside_detector_is_looked_at(changes, said):
    example = gateway.example_log()
    if "groups" in changes:
        changes = {"groups": example.joins.groups[::-1]}

    def own(joins, targets):
        return _detection(joins, targets, **changes)

    with pytest.raises(GatewayError, match=said):
        gateway.detect(example.joins, example.targets, detector=own)


def test_function__of_the_caller_fails_as_itself():
    example = gateway.example_log()
    with pytest.raises(ZeroDivisionError):
        gateway.detect(example.joins, example.targets, detector=lambda joins, targets: 1 / 0)


# Scorers -------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["flat", "bayes"])
def test_run__knows_a_scorer_of_an_installed_package(installed, written, tmp_path, name):
    config = parse_config(written, overrides=[f"score.scorer={name}"])
    made = execute(config, folder=tmp_path / "result")
    assert made.config.score.brought == "my-package 1.2"
    measured = made.table("evaluation").to_pylist()
    auc = [row["value"] for row in measured
           if (row["detector"], row["metric"]) == (f"scorer:{name}", "auc")]  # fmt: skip
    # What says the same of everybody tells nobody apart.
    assert (auc == [0.5]) == (name == "flat")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("undefined", "must be three arrays of"),
        ("short", "finite numbers, one for each join; got shapes [(1,), (1,), (1,)]"),
        ("sklearn", "score.scorer must be one of 'logistic', 'boosted', 'markov', 'bayes',"),
    ],
)
def test_run__says_what_an_outside_scorer_does_wrong(
    installed, written, tmp_path, capsys, name, said
):
    (tmp_path / "c.toml").write_text(written)
    got = refusal(capsys, "run", tmp_path / "c.toml", "--set", f"score.scorer={name}", "--out",
                  tmp_path / "r")  # fmt: skip
    assert said in got
