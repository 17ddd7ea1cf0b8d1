"""The calls as a notebook makes them: own detectors and scorers, words, pictures, tables."""

from __future__ import annotations

import html
import inspect
import warnings
from importlib.metadata import EntryPoint, EntryPoints

import matplotlib
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import gateway
from gateway import plugins
from gateway.detect import Detection, detect_order
from gateway.errors import AssumptionWarning, GatewayError
from gateway.figures.labels import label
from gateway.score import LogisticScorer

NASTY = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def small():
    """A log in which users who join a mostly go on to t, with a name that is HTML."""
    rng = np.random.default_rng(3)
    user, group, time = [], [], []
    names = ["a", "b", NASTY, "t"]
    for u in range(300):
        joined = rng.permutation(3)[: rng.integers(1, 4)]
        on = rng.random() < (0.7 if 0 in joined else 0.2)
        for k, g in enumerate([*joined, *([3] if on else [])]):
            user.append(f"u{u:03d}")
            group.append(names[g])
            time.append(10 * k + int(rng.integers(0, 9)))
    return gateway.JoinLog.from_arrays(user, group, time), ["t"]


@pytest.fixture(scope="module")
def found(small):
    return gateway.detect(*small, detector="order", min_joiners=5)


@pytest.mark.parametrize("name", ["check", "detect", "evaluate", "score", "simulate"])
def test_callable_packages__have_signature_and_docstring_of_the_function(name):
    call = getattr(gateway, name)
    signature = inspect.signature(call)
    assert "args" not in signature.parameters
    assert "Parameters\n" in call.__doc__
    assert "Returns" in call.__doc__


def test_targets__may_be_names(small):
    joins, names = small
    by_set = gateway.detect(joins, gateway.named_targets(joins, names), detector="order")
    assert by_set.to_arrow() == gateway.detect(joins, names, detector="order").to_arrow()


def test_targets__of_another_log_are_refused(small):
    joins, _ = small
    other = gateway.JoinLog.from_arrays(["x", "x"], ["a", "t"], [1, 2])
    with pytest.raises(GatewayError, match=r"target set of this log, which has 4 groups; got one"):
        gateway.detect(joins, gateway.named_targets(other, ["t"]))
    with pytest.raises(GatewayError, match="must be a target set or names of groups"):
        gateway.detect(joins, [3])


# Own detectors -----------------------------------------------------------------------------


def test_own_detector__may_give_numbers_a_mapping_or_a_detection(small):
    joins, targets = small

    def sizes(joins, targets):
        return joins.sizes()

    def mapping(joins, targets):
        return dict(zip(joins.groups.to_pylist(), joins.sizes().tolist(), strict=True))

    got = gateway.detect(joins, targets, detector=sizes)
    assert got.detector == "sizes"
    size = dict(zip(joins.groups.to_pylist(), joins.sizes(), strict=True))
    assert got.top == sorted(["a", "b", NASTY], key=lambda name: -size[name])
    assert not got.flagged.any()
    assert gateway.detect(joins, targets, detector=mapping).top == got.top
    whole = gateway.detect(joins, targets, detector=detect_order)
    assert whole.to_arrow() == gateway.detect(joins, targets, detector="order").to_arrow()


def test_own_detector__gets_what_it_names(small):
    joins, targets = small

    def mean_jump(joins, targets, scores, seed, factor=1.0):
        assert seed == 5
        jump = scores.after - scores.before
        total = np.bincount(scores.prefixes.group, jump, minlength=joins.n_groups)
        return factor * total / np.maximum(np.bincount(scores.prefixes.group, minlength=4), 1)

    got = gateway.detect(joins, targets, detector=mean_jump, seed=5, factor=2.0)
    once = gateway.detect(joins, targets, detector=mean_jump, seed=5)
    assert got.top[0] == "a"
    np.testing.assert_allclose(got.score, 2.0 * once.score)


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        ([1.0, 2.0], r"score must be one number for each of the log's 4 groups; got shape \(2,\)"),
        ({"a": 1.0, "bb": 2.0}, r"score must be of groups of the log; got 'bb'"),
        ("high", "score must be numbers, one for each group, or a mapping"),
    ],
)
def test_own_detector__that_gives_something_else_is_told(small, gives, message):
    with pytest.raises(GatewayError, match=message):
        gateway.detect(*small, detector=lambda joins, targets: gives)


def test_misspelt_argument__is_told_from_an_option(small):
    with pytest.raises(GatewayError, match=r"'detectr' is no argument of detect.*mean 'detector'"):
        gateway.detect(*small, detectr="order")
    with pytest.raises(GatewayError, match=r"spike\.quantle is not a known key .*'quantile'"):
        gateway.detect(*small, quantle=0.5)


def test_from_scores__flags_by_benjamini_hochberg(small):
    joins, targets = small
    p = {"a": 0.01, "b": 0.04, NASTY: 0.5}
    got = Detection.from_scores(joins, targets, {"a": 3.0, "b": 2.0, NASTY: 1.0}, p_value=p)
    # By hand: .01 * 3 / 1, .04 * 3 / 2, .5.
    q = dict(zip(got.to_arrow()["group"].to_pylist(), got.to_arrow()["q_value"].to_pylist(),
                 strict=True))  # fmt: skip
    assert q == pytest.approx({"a": 0.03, "b": 0.06, NASTY: 0.5})
    assert got.groups.filter(pa.array(got.flagged)).to_pylist() == ["a"]
    assert got.top == ["a", "b", NASTY]


def _entry_points(monkeypatch, group, name, value):
    entry = EntryPoint(name=name, value=value, group=group)

    def selected(**wanted):
        fits = group == wanted["group"] and wanted.get("name", name) == name
        return EntryPoints([entry] if fits else [])

    monkeypatch.setattr(plugins, "entry_points", selected)


def test_entry_point__brings_a_detector(small, monkeypatch):
    _entry_points(monkeypatch, "gateway.detectors", "brought", "gateway.detect.order:detect_order")
    got = gateway.detect(*small, detector="brought")
    assert got.detector == "brought"
    with pytest.raises(GatewayError, match=r"edges, brought; got 'brougt' \(did you mean 'brought"):
        gateway.detect(*small, detector="brougt")


# Scores ------------------------------------------------------------------------------------


def test_entry_point__brings_a_scorer(small, monkeypatch):
    _entry_points(monkeypatch, "gateway.scorers", "mine", "gateway.score:LogisticScorer")
    got = gateway.score(*small, scorer="mine")
    expected = gateway.score(*small, scorer=LogisticScorer())
    np.testing.assert_array_equal(got.after, expected.after)
    with pytest.raises(GatewayError, match=r"did you mean 'boosted'\?"):
        gateway.score(*small, scorer="bosted")
    with pytest.raises(GatewayError, match="classifier with predict_proba; got int"):
        gateway.score(*small, scorer=3)


@pytest.mark.parametrize("classifier", [LogisticRegression(), GaussianNB()])
def test_score__takes_a_classifier_sparse_or_dense(small, classifier):
    joins, targets = small
    got = gateway.score(joins, targets, scorer=classifier)
    assert got.scorer == type(classifier).__name__
    last = got.prefixes.group == 0
    assert got.after[last].mean() > got.before[last].mean()


def test_scores_of_a_user__are_the_rows_of_the_user(small):
    joins, targets = small
    scores = gateway.score(joins, targets)
    u = int(np.flatnonzero(scores.prefixes.reached & (np.diff(scores.prefixes.offsets) > 1))[0])
    name = joins.users[u].as_py()
    got = scores.user(name).to_arrow().to_pydict()
    i = slice(*scores.prefixes.offsets[u : u + 2])
    assert got["after"] == [*scores.after[i].tolist(), None]
    assert got["group"][-1] == "t"
    mine = slice(*joins.offsets[u : u + 2])
    assert got["time"] == (joins.time[mine] + joins.origin).tolist()
    with pytest.raises(GatewayError, match=r"user must be one of the log; got 'u00' "):
        scores.user("u00")


def test_score_new__is_what_each_fold_says_on_average(small):
    """The plain logistic scorer by hand: of a first join, sigmoid of intercept and weight."""
    joins, targets = small
    plain = LogisticScorer(penalty=1.0, keep=None, covariates=False)
    scores = gateway.score(joins, targets, scorer=plain, calibration="none")
    new = gateway.JoinLog.from_arrays(["new", "new", "odd"], ["a", "unheard", "unheard"], [3, 4, 5])
    got = scores.score_new(new)
    a = joins.groups.index("a").as_py()
    logits = [one.model.intercept + one.model.weights[a] for one in scores.learnt]
    by_fold = [1.0 / (1.0 + np.exp(-x)) for x in logits]
    table = got.user("new").to_arrow().to_pydict()
    assert table["group"] == ["a"]
    assert table["time"] == [3]
    assert table["after"] == pytest.approx([np.mean(by_fold)], rel=1e-12)
    assert got.user("odd").to_arrow().num_rows == 0


def test_score_new__of_the_same_prefixes_is_near_the_scores_themselves(small):
    joins, targets = small
    scores = gateway.score(joins, targets)
    again = scores.score_new(joins)
    # Four of the five models that are averaged have seen the user.
    assert np.corrcoef(scores.after, again.after)[0, 1] > 0.95
    with pytest.raises(GatewayError, match="unit of the log that was learnt from, the integer"):
        scores.score_new(gateway.example_log().joins)


# Words, pictures, tables ---------------------------------------------------------------------


def test_reprs__are_one_short_line(small, found):
    joins, targets = small
    public = [
        joins, gateway.named_targets(joins, targets), found, gateway.score(joins, targets),
        gateway.evaluate(found, truth=["a"], draws=0), gateway.example_log(),
    ]  # fmt: skip
    for one in public:
        assert "\n" not in repr(one)
        assert len(repr(one)) < 200


def test_html__escapes_names(small, found):
    joins, _ = small
    scores = gateway.score(joins, ["t"])
    user = joins.users[int(joins.user()[np.argmax(joins.group == 0)])].as_py()
    for one in (found, scores.user(user), joins, gateway.evaluate(found, truth=["a"], draws=0)):
        assert "<script" not in one._repr_html_()
    assert html.escape(NASTY) in found._repr_html_()


def test_summary__says_what_was_found_in_lines(found):
    text = found.summary(top=2)
    assert repr(text) == str(text)
    assert text.startswith("order: 3 groups ranked")
    assert len(text.splitlines()) < 10
    assert "(not held)" in text


def test_plot__draws_into_own_axes_and_returns_them(found):
    ax = Figure().subplots()
    assert found.plot(ax, top=2) is ax
    got = [tick.get_text() for tick in ax.get_yticklabels()]
    assert got == [label(name, limit=22) for name in found.top[:2]]
    assert ax.get_xlabel() == found.measure.estimate.axis


def test_plot_user__draws_each_level_and_names_each_group(small):
    joins, targets = small
    scores = gateway.score(joins, targets)
    u = int(np.argmax(np.diff(scores.prefixes.offsets)))
    ax = Figure().subplots()
    assert scores.plot_user(joins.users[u].as_py(), ax) is ax
    i = slice(*scores.prefixes.offsets[u : u + 2])
    drawn = max(np.max(line.get_ydata()) for line in ax.get_lines())
    assert drawn == pytest.approx(100.0 * max(scores.after[i].max(), scores.before[i].max()))


def test_plot__makes_a_figure_of_pyplot_by_itself(found):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = found.plot()
    assert plt.fignum_exists(ax.figure.number)
    plt.close(ax.figure)


def test_tables__go_to_every_library(found):
    expected = found.to_arrow()
    assert pa.table(found) == expected
    assert found.to_polars().to_arrow().num_rows == expected.num_rows
    assert list(found.to_pandas().columns) == expected.column_names


def test_failed_check__is_a_warning(small):
    from gateway.detect import registry

    joins, targets = small
    plain = gateway.detect(joins, targets, detector="order")

    def doubtful(joins, targets):
        from dataclasses import replace

        return replace(plain, warnings=("time trends: too many",))

    with pytest.warns(AssumptionWarning, match="order: time trends") as caught:
        got = gateway.detect(joins, targets, detector=doubtful)
    assert caught[0].filename == __file__
    assert "Failed check: time trends" in got.summary()
    assert "Failed check: time trends" in got._repr_html_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.find_gateways(
            joins, gateway.named_targets(joins, targets), detector=doubtful, scores=None,
            horizon=None, seed=1,
        )  # fmt: skip


# Evaluation ----------------------------------------------------------------------------------


def test_evaluate__measures_against_names(small):
    joins, targets = small
    mine = Detection.from_scores(
        joins, targets, {"a": 3.0, "b": 2.0, NASTY: 1.0},
        p_value={"a": 1e-6, "b": 1e-5, NASTY: 0.9},
    )  # fmt: skip
    table = gateway.evaluate(mine, truth=["a", NASTY]).to_arrow().to_pydict()
    got = dict(zip(table["metric"], table["value"], strict=True))
    # By hand: hits at ranks 1 and 3; two are flagged, of which one is right, of two.
    assert got == pytest.approx({
        "average_precision": (1 + 2 / 3) / 2, "n_flagged": 2, "precision_flagged": 0.5,
        "recall_flagged": 0.5,
    })  # fmt: skip


def test_evaluate__refuses_names_of_no_candidate(found):
    for names, message in (
        ([], "at least one"),
        (["t"], "no targets; got 't'"),
        (["A"], "mean 'a'"),
    ):
        with pytest.raises(GatewayError, match=message):
            gateway.evaluate(found, truth=names)


# Worlds and sweeps without a file ------------------------------------------------------------

SMALL = {
    "users": 400, "groups": 60, "days": 120, "arrival_days": 30,
    "roles": {"targets": 6, "influence": 3, "homophily": 2, "hub": 1},
}  # fmt: skip


def test_draw_world__by_settings_is_that_of_the_config():
    by_keyword = gateway.draw_world(seed=4, **SMALL)
    by_mapping = gateway.draw_world({"world": SMALL, "experiment": {"seed": 4}})
    config = gateway.load_config({
        "experiment": {"name": "w", "seed": 4}, "world": SMALL, "targets": {"groups": ["x"]},
    })  # fmt: skip
    by_config = gateway.draw_world(config)
    for other in (by_mapping, by_config, gateway.draw_world(config, seed=4)):
        np.testing.assert_array_equal(by_keyword.groups.role, other.groups.role)
        np.testing.assert_array_equal(by_keyword.users.interest, other.users.interest)
    assert by_keyword.config.targets.groups == tuple(by_keyword.names("target"))
    assert len(by_keyword.names("target")) == 6
    other = gateway.draw_world(config, seed=5)
    assert not np.array_equal(other.users.interest, by_config.users.interest)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gateway.draw_world(usres=5), r"usres is not a known key \(did you mean 'users'"),
        (
            lambda: gateway.draw_world({"world": {"users": 0}}),
            "a whole number of at least 1",
        ),
        (lambda: gateway.draw_world({"world": SMALL}, users=3), "put them into its world"),
        (lambda: gateway.draw_world(3), "must be a config or a mapping"),
        (lambda: gateway.draw_world(**SMALL).names("influencer"), "did you mean 'influence'"),
        (lambda: gateway.load_config({"experiment": {"name": "a"}}), r"\[targets\] is missing"),
    ],
)
def test_draw_world__says_what_is_wrong(call, message):
    with pytest.raises(GatewayError, match=message):
        call()


def test_simulate__takes_interventions_as_mappings():
    world = gateway.draw_world(**SMALL)
    harm = world.names("target")
    plain = gateway.simulate(world)
    assert harm[0] in plain.groups.to_pylist()
    acting = {"kind": "demotion", "start": 30, "names": harm, "share": 1.0}
    got = gateway.simulate(world, interventions=[acting])
    from gateway.simulate import Demotion

    mask = np.isin(np.arange(60), [int(name[1:]) for name in harm])
    expected = gateway.simulate(world, interventions=[Demotion(30, mask, 1.0)])
    assert got.equals(expected)
    assert not got.equals(plain)
    for wrong, message in (
        ({"kind": "demote", "start": 3}, "did you mean 'demotion'"),
        (acting | {"names": ["g1"]}, "must be of groups of the world; got 'g1'"),
        (acting | {"shar": 1}, "did you mean 'share'"),
    ):
        with pytest.raises(GatewayError, match=message):
            gateway.simulate(world, interventions=[wrong])
