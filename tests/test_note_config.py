"""The fit of the note's numbers: what enters, the surrogate, the evidence, the config."""

from __future__ import annotations

import csv
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gateway.analyses.published import CORRELATIONS, SOURCES_EVER
from gateway.results import load_config

ROOT = Path(__file__).parents[1]
START = ROOT / "experiments" / "calibrate_note_start.toml"
REFERENCE = ROOT / "results" / "reference" / "note"

# The scripts import one another by their bare names, as when they are run.
sys.path.insert(0, str(ROOT / "experiments"))
numbers, worlds, surrogate, evidence, calibrate, paper = map(
    importlib.import_module,
    ("note_numbers", "note_worlds", "note_surrogate", "note_evidence", "calibrate_note", "paper"),
)


# The numbers ---------------------------------------------------------------------------------


def test_numbers__are_all_that_can_be_read_but_what_has_no_scale():
    names = [number.name for number in numbers.NUMBERS]
    assert len(set(names)) == len(names)
    by_claim = {c: sum(n.id == c for n in numbers.FITTED) for c in numbers.CLAIMS}
    # Four mechanisms; two risks; one each; labelled and labelled later; cells of the heat map.
    assert by_claim == {"R1": 4, "R3": 2, "R4": 1, "R5": 1, "R6": 1, "R8": 2, "R9": 15}
    # Of table 2 the seven confirmed shares alone, beside the eight of table 1.
    assert [n.id for n in numbers.NUMBERS if n.kind == "input"] == ["R1"] * 8 + ["R2"] * 7
    shares = [n for n in numbers.NUMBERS if n.quantity.endswith("share of requests")]
    single = [n.published for n in shares if n.quantity.partition(":")[0] not in numbers.TOGETHER]
    assert (len(single), sum(single)) == (9, pytest.approx(1.0))


def test_values__add_up_a_mechanism_s_sources_and_take_labels_as_shares_of_the_top():
    rows = {"R1 search: share of requests": 0.1, "R1 group_mall: share of requests": 0.2,
            "R1 mobile_group_join: share of requests": 0.3, "R8 top gateway groups": 20.0,
            "R8 of them labelled non-rec": 5.0, "R6 PYMI featured: difference": 0.01}  # fmt: skip
    got = numbers.values_of(rows)
    assert got["R1 intent: share of requests"] == pytest.approx(0.6)
    assert got["R8 of them labelled non-rec"] == 0.25
    # By lot of who is featured, where the platform draws that.
    assert got["R6 PYMI: difference"] == 0.01
    assert np.isnan(got["R1 friends: share of requests"])


def test_numbers__have_the_published_values():
    published = {n.name: n.published for n in numbers.NUMBERS}
    total = sum(row.requests for row in SOURCES_EVER)
    assert published["R1 gysj: share of requests"] == 1_326_540 / total
    assert published["R2 mobile_add_members: confirmed"] == 63_896 / 118_133
    assert published["R9 num_nr_members and non_rec: pearson"] == 0.082
    assert {n.published for n in numbers.FITTED if n.id == "R9"} == set(CORRELATIONS.values())


def test_transform__is_undone_by_back():
    rng = np.random.default_rng(1)
    values = rng.uniform(0.03, 0.9, (5, len(numbers.FITTED)))
    np.testing.assert_allclose(numbers.back(numbers.transform(values)), values)


def test_discrepancy__is_in_the_number_s_own_unit():
    y, sd = numbers.observed()
    # One deviation up and down, undone, is the discrepancy to first order.
    low, high = numbers.back(y - 0.01 * sd), numbers.back(y + 0.01 * sd)
    given = [n.discrepancy for n in numbers.FITTED]
    np.testing.assert_allclose((high - low) / 0.02, given, rtol=1e-3)


# The worlds -----------------------------------------------------------------------------------


def draw(hypothesis="all", **at):
    x = np.zeros(worlds.N_PARAMETERS)
    for name, value in at.items():
        x[worlds.NAMES.index(name.replace("__", "."))] = value
    return worlds.Draw(0, hypothesis, 7, tuple(x))


def test_config__at_zero_is_the_start_s():
    start = load_config(START)
    got = worlds.config_at(start, draw())
    for parameter in worlds.PARAMETERS:
        for key in parameter.keys:
            # Four significant digits.
            assert worlds.value_at(got, key) == pytest.approx(worlds.value_at(start, key), rel=6e-4)
    for key in worlds.MECHANISMS:
        assert worlds.value_at(got, key) == pytest.approx(worlds.value_at(start, key), abs=1e-4)
    assert got.experiment.seed == 7


def test_config__moves_a_parameter_by_its_deviation():
    start = load_config(START)
    got = worlds.config_at(start, draw(harm_interest=1.0, looks__friends=2.0))
    expected = start.world.harm_interest * np.exp(0.35)
    assert got.world.harm_interest == pytest.approx(expected, rel=1e-3)
    odds = [c.simulation.friends / c.simulation.intent for c in (got, start)]
    # Four decimals of a share of .07.
    assert odds[0] / odds[1] == pytest.approx(np.exp(2 * worlds.LOOKS_SD), rel=3e-3)


@pytest.mark.parametrize(("hypothesis", "gateways", "alikes"), [
    ("all", True, True), ("no gateways", False, True),
    ("no look-alikes", True, False), ("neither", False, False),
])  # fmt: skip
def test_hypothesis__takes_the_planted_groups_away(hypothesis, gateways, alikes):
    got = worlds.config_at(load_config(START), draw(hypothesis)).world.roles
    assert (got.influence + got.recommender + got.inviter > 0) == gateways
    assert (got.homophily + got.hub + got.fellow_traveller > 0) == alikes
    assert evidence.THERE[hypothesis] == (gateways, alikes)


def test_size__shrinks_planted_groups_with_groups_and_thresholds_with_members():
    start = load_config(START)
    whole = start.world
    half = worlds.Size(whole.users // 4, whole.groups // 2)
    got = worlds.config_at(start, draw(), half)
    assert (got.world.users, got.world.groups) == half
    assert got.note.top == start.note.top // 2
    assert got.world.roles.influence == whole.roles.influence // 2
    assert got.moderation.non_rec_strikes == pytest.approx(
        start.moderation.non_rec_strikes / 2, abs=1
    )


def test_store__computes_what_is_missing_and_nothing_twice(tmp_path, monkeypatch):
    calls = []

    def computed(task):
        calls.append(task[0])
        return task[0], {name.name: 0.5 for name in numbers.NUMBERS}, 0.1

    monkeypatch.setattr(worlds, "_computed", computed)
    start, size = load_config(START), worlds.Size(2_000, 200)
    draws = [draw("all"), draw("neither")]
    path = tmp_path / "worlds.jsonl"
    first = worlds.Store(path, start, size).compute(draws)
    with path.open("a") as stream:
        stream.write('{"key": "torn')
    again = worlds.Store(path, start, size).compute([*draws, draw("all", harm_interest=1.0)])
    assert len(calls) == len(set(calls)) == 3
    assert again[:2] == first
    x, there, values = worlds.as_arrays(again, [numbers.FITTED[0].name])
    assert x.shape == (3, worlds.N_PARAMETERS)
    assert there.tolist() == [[True, True], [False, False], [True, True]]
    assert values.tolist() == [[0.5]] * 3


# The surrogate and the evidence -----------------------------------------------------------------


def linear(seed=0, d=6, k=5, noise=0.3):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=k), rng.normal(size=(k, d))
    return surrogate.Surface(a, b, np.zeros((k, d)), noise**2 * np.eye(k)), rng


def test_evidence__of_a_plane_is_the_normal_s():
    plane, rng = linear()
    y = rng.normal(size=5)
    sd = np.full(5, 0.2)
    prior = surrogate.Normal(np.full(6, 0.1), 0.5 * np.eye(6))
    got = surrogate.infer(plane, y, prior=prior, rng=rng, discrepancy=sd, n=20_000)
    cov = plane.b @ prior.cov @ plane.b.T + plane.cov + np.diag(sd**2)
    expected = multivariate_normal(plane.mean(prior.mean), cov).logpdf(y)
    assert got.log_evidence == pytest.approx(expected, abs=0.02)
    gain = prior.cov @ plane.b.T @ np.linalg.inv(cov)
    mean = prior.mean + gain @ (y - plane.mean(prior.mean))
    # Three standard errors of 20,000 draws of deviation below .8.
    np.testing.assert_allclose(got.draws.mean(axis=0), mean, atol=3 * 0.8 / 20_000**0.5 * 1.5)
    assert got.efficiency > 0.5


def test_prediction__given_others_is_the_ratio_of_evidences():
    plane, rng = linear(seed=3)
    plane = plane._replace(cov=plane.cov + 0.05)
    y, sd = rng.normal(size=5), np.full(5, 0.1)
    prior = surrogate.Normal(np.zeros(6), np.eye(6))
    given = np.arange(5) != 2
    whole = surrogate.infer(plane, y, prior=prior, rng=rng, discrepancy=sd, n=20_000)
    part = surrogate.infer(plane.of(given), y[given], prior=prior, rng=rng,
                           discrepancy=sd[given], n=20_000)  # fmt: skip
    mean, cov = surrogate.predict_given(plane, y, given, part.draws, sd)
    density = np.exp(-0.5 * (y[2] - mean[:, 0]) ** 2 / cov[0, 0]) / np.sqrt(2 * np.pi * cov[0, 0])
    assert np.log(density.mean()) == pytest.approx(whole.log_evidence - part.log_evidence, abs=0.05)


def test_surfaces__find_what_gateways_change():
    rng = np.random.default_rng(5)
    n, d, k = 400, 4, 3
    x, there = rng.standard_normal((n, d)), rng.random((n, 2)) < 0.5
    slope, shift = rng.normal(size=(k, d)), np.array([1.0, 0.0, -2.0])
    y = x @ slope.T + there[:, :1] * shift + 0.3 * x[:, :1] ** 2 + 0.1 * rng.standard_normal((n, k))
    found = surrogate.fit_surfaces(x, there, y, np.arange(n), near=np.ones(n, bool))
    change = found[True, True].a - found[False, True].a
    # Two standard errors of a difference of 200 and 200 with deviation .1.
    np.testing.assert_allclose(change, shift, atol=0.04)
    np.testing.assert_allclose(found[True, True].b, slope, atol=0.04)
    np.testing.assert_allclose(np.sqrt(np.diag(found[True, True].cov)), 0.1, rtol=0.25)


def simulated_study(tmp_path, *, n=60, seed=11):
    """A study whose worlds are drawn from a plane: gateways move R4 and nothing else."""
    rng = np.random.default_rng(seed)
    d, k = worlds.N_PARAMETERS, len(numbers.FITTED)
    slope = 0.2 * rng.normal(size=(k, d))
    moved = np.array([2.5 * (number.id == "R4") for number in numbers.FITTED])
    y, _ = numbers.observed()
    entries = []
    for name, (gateways, _alikes) in evidence.THERE.items():
        for place, at in enumerate(rng.standard_normal((n, d))):
            value = y + slope @ at + moved * (gateways - 1) + 0.1 * rng.standard_normal(k)
            values = dict(zip([f.name for f in numbers.FITTED], numbers.back(value), strict=True))
            values |= dict.fromkeys(numbers.EXTRA, 0.5)
            entries.append({"round": 0, "hypothesis": name, "seed": place, "x": at.tolist(),
                            "seconds": 1.0, "values": values})  # fmt: skip
    store = worlds.Store(tmp_path / "w.jsonl", load_config(START), worlds.Size(2_000, 200))
    proposals = {(0, name): evidence.PRIOR for name in evidence.THERE}
    return evidence.Study(store, entries, proposals)


def test_factors__speak_where_gateways_change_a_number_and_nowhere_else(tmp_path):
    study = simulated_study(tmp_path)
    z = evidence.log_evidences(study.surfaces(), seed=1, n=500)
    found = {n.id: [] for n in numbers.FITTED}
    for number in numbers.FITTED:
        given = evidence.factor(z, "all", "no gateways", "given the others", number.name)
        found[number.id].append(abs(given))
    # The others are a little less likely where the parameters must make up for R4.
    assert max(max(values) for name, values in found.items() if name != "R4") < found["R4"][0] / 2
    assert evidence.factor(z, "all", "no gateways", "everything", "") > 1.0
    told = evidence.could_tell(study.surfaces(), seed=1, n=50)
    assert max(told, key=told.get).startswith("R4")


def test_surfaces__are_shifted_to_full_size_worlds(tmp_path):
    study = simulated_study(tmp_path, n=30)
    small = study.surfaces(small=True)["all"]
    assert np.array_equal(study.surfaces()["all"].a, small.a)
    x = 0.3 * np.ones(worlds.N_PARAMETERS)
    mean = small.mean(x)
    for up in (0.1, 0.3):
        values = dict(zip([f.name for f in numbers.FITTED], numbers.back(mean + up), strict=True))
        study.full.append({"hypothesis": "all", "x": x.tolist(), "values": values})
    got = study.surfaces()
    np.testing.assert_allclose(got["all"].mean(x), mean + 0.2)
    # Where there is no full-size world the difference is that of the others.
    alone = study.surfaces(small=True)["neither"]
    np.testing.assert_allclose(got["neither"].a - alone.a, 0.2)


@pytest.mark.slow
def test_calibration__covers_what_it_says(tmp_path):
    study = simulated_study(tmp_path, n=100)
    rows = evidence.calibration(study, seed=1, most=200)
    inner, outer = (
        np.mean([row[key] for row in rows[: worlds.N_PARAMETERS]])
        for key in ("coverage_50", "coverage_90")
    )
    # 200 worlds, parameters of one world alike in error at worst: standard error below .035.
    assert inner == pytest.approx(0.5, abs=0.07)
    assert outer == pytest.approx(0.9, abs=0.05)


@pytest.mark.slow
def test_fit__runs_from_a_start_to_its_tables_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    arguments = ["calibrate_note.py", "--out", str(tmp_path), "--points", "8", "--bootstraps", "2",
                 "--users", "16000", "--groups", "400", "--full", "0"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [*arguments, "--rounds", "1"])
    calibrate.main()
    stored = (tmp_path / "worlds.jsonl").read_text()
    monkeypatch.setattr(sys, "argv", [*arguments, "--rounds", "2"])
    calibrate.main()
    assert (tmp_path / "worlds.jsonl").read_text().startswith(stored)
    assert json.loads((tmp_path / "summary.json").read_text())["worlds"] == 64
    fitted = load_config(tmp_path / "note.toml")
    assert fitted.world.users == load_config(START).world.users
    with (tmp_path / "numbers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["number"] for row in rows] == [number.label for number in numbers.NUMBERS]


# What is stored and said ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["note.toml", "note_without_gateways.toml"])
def test_config__is_the_one_that_the_stored_fit_gave(name):
    assert load_config(REFERENCE / name) == load_config(ROOT / "configs" / name)


def test_page__says_what_the_stored_tables_say():
    with (REFERENCE / "numbers.csv").open(encoding="utf-8") as stream:
        fitted = [row for row in csv.DictReader(stream) if row["kind"] == "fitted"]
    outside = [
        [row["number"] for row in fitted if row[f"{name}, fitted: inside"] == "False"]
        for name in ("all", "no gateways")
    ]
    cells = ["ci_ri_strikes and non_amp", "ci_ri_severe_strikes and non_rec"]
    assert outside == [cells, cells]
    macros = paper.gather()["macros"]
    assert (macros["tell.for"], macros["tell.against"], macros["could.list"]) == ("none",) * 3
    assert max(fitted, key=lambda row: float(row["could_tell"]))["number"] == "share of invitation"
    within = [int(macros[f"held_out.{name}.within"]) for name in ("no gateways", "all")]
    assert within[0] >= within[1]
    with (REFERENCE / "held_out.csv").open(encoding="utf-8") as stream:
        held = {row["number"]: row for row in csv.DictReader(stream)}
    excess = held["share labelled: top minus matched controls"]
    assert float(excess["no gateways: mean"]) >= float(excess["all: mean"])
    for gain in (row for name, row in held.items() if name.endswith(": gain")):
        # Below twice its standard error over four worlds.
        for name in ("all", "no gateways"):
            assert float(gain[f"{name}: mean"]) < float(gain[f"{name}: sd"])


def macros_of_the_text():
    """Names that the manuscript takes from tables, tables and figures."""
    text = (ROOT / "docs" / "paper" / "paper.typ").read_text(encoding="utf-8")
    suffix = {"n": "", "p": ".percent", "w": ".whole"}
    # Without the definitions, which take a name as it comes.
    body = text.partition("#set document")[2]
    macros = {m[2] + suffix[m[1]] for m in re.finditer(r'#([npw])\("([^"]+)"\)', body)}
    return macros, *(set(re.findall(rf'#{kind}-of\("(\w+)"', body)) for kind in ("table", "figure"))


def test_paper__has_a_stored_number_for_each_that_it_names():
    stored = paper.gather()
    macros, tables, figures = macros_of_the_text()
    assert len(macros) > 20
    assert macros <= stored["macros"].keys()
    assert {name for name in tables if not stored["tables"].get(name)} == set()
    assert figures <= stored["figures"].keys()


def test_paper__says_what_is_missing(tmp_path, monkeypatch):
    typst = pytest.importorskip("typst", reason="typst is not installed: make paper")
    monkeypatch.setattr(paper, "REFERENCE", tmp_path)
    monkeypatch.setattr(paper, "ROOT", tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "note.toml").write_text("[note]\ntop = 100\n")
    (tmp_path / "claims.toml").write_text("claims = []\n")
    stored = paper.gather()
    assert not any(stored["tables"].values())
    (tmp_path / "build" / "paper").mkdir(parents=True)
    (tmp_path / "build" / "paper" / "macros.json").write_text(json.dumps(stored))
    source = tmp_path / "paper.typ"
    source.write_text((ROOT / "docs" / "paper" / "paper.typ").read_text(encoding="utf-8"))
    (tmp_path / "paper.yml").write_bytes((ROOT / "docs" / "paper" / "paper.yml").read_bytes())
    page = typst.compile(str(source), root=str(tmp_path), format="svg")
    assert page[0] if isinstance(page, list) else page
    found = typst.query(str(source), "metadata", root=str(tmp_path))
    assert "fit.worlds.whole" in found
