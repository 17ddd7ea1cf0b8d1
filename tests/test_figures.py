"""Figures: first what is plotted, then how it is drawn, then the bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import PathPatch
from matplotlib.text import Annotation, Text

from experiments import cost_figures
from gateway.analyses.curves import FEWEST_JOINS, MOST_JOINS
from gateway.detect import measure_of
from gateway.errors import GatewayError
from gateway.figures import FIGURES, StoredFigure, csv_bytes, figure, render
from gateway.figures.labels import label
from gateway.figures.style import COLUMN, KINDS, PAGE, PAPER, letters_on, look, role
from gateway.wording import shorten
from tests.result_tables import HOSTILE, result_tables, with_rivals
from tests.study_tables import check_table, sweep_evaluation

ROOT = Path(__file__).parents[1]
BY_NAME = {figure.NAME: figure for figure in FIGURES}
NAMES = list(BY_NAME)
NEED_TRUTH = {
    "precision_recall", "direct_effects", "interventions", "join_sources", "pathways",
    "exposure_contrast",
    "label_times", "signal_correlations", "benchmark", "dose_response", "phase_diagram",
    "sweep_lines", "check_power",
}  # fmt: skip
MECHANISMS = ("recommendation", "friends", "invitation", "intent")
WIDE = {
    "probability_curves", "interventions", "signal_correlations", "benchmark", "dose_response",
    "phase_diagram", "pathways", "check_power",
}  # fmt: skip

each_figure = pytest.mark.parametrize("figure", FIGURES, ids=NAMES)


@cache
def simulated() -> Mapping[str, pa.Table]:
    return {**result_tables(n_groups=500), "check": check_table()}


@cache
def real() -> Mapping[str, pa.Table]:
    return result_tables(truth=False, n_groups=300)


@cache
def hostile() -> Mapping[str, pa.Table]:
    tables = result_tables(names=HOSTILE, n_groups=300, n_panels=len(HOSTILE))
    return {**tables, "check": check_table()}


@cache
def drawn_hostile(name: str) -> tuple[Figure, bytes]:
    """A figure of them, and its image."""
    drawn = BY_NAME[name].draw(plotted(name, hostile()))
    return drawn, render(drawn, kinds=["svg"])["svg"]


def plotted(name: str, tables: Mapping[str, pa.Table] | None = None, **options: Any) -> pa.Table:
    data = BY_NAME[name].plotted(simulated() if tables is None else tables, **options)
    assert data is not None
    return data


def shuffled(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    rng = np.random.default_rng(3)
    return {name: table.take(rng.permutation(table.num_rows)) for name, table in tables.items()}


def texts(drawn: Figure) -> list[str]:
    return [text.get_text() for text in every_text(drawn)]


def every_text(drawn: Figure) -> list[Text]:
    found: Any = drawn.findobj(Text)
    return list(found)


def marks(axes: Axes) -> list[tuple[str, str, bool]]:
    """Shape, colour, and whether filled, of every single mark."""
    return [
        (
            str(line.get_marker()),
            to_hex(line.get_markeredgecolor()).upper(),
            to_hex(line.get_markerfacecolor()) != PAPER,
        )
        for line in axes.get_lines()
        if line.get_marker() != "None" and np.size(line.get_xdata()) == 1
    ]


# The list -------------------------------------------------------------------------------


def test_figures__import_without_matplotlib() -> None:
    code = (
        "import sys, gateway.figures; [figure.NAME for figure in gateway.figures.FIGURES];"
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'numba', 'scipy', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@each_figure
def test_figures__have_a_function_for_each_step(figure: StoredFigure) -> None:
    module = import_module(f"gateway.figures.{figure.module}")
    steps = {f"{step}_{figure.NAME}" for step in ("plotted", "draw", "caption")}
    assert steps <= vars(module).keys()


@each_figure
def test_plotted__is_none_for_an_empty_result(figure: StoredFigure) -> None:
    assert figure.plotted({}) is None
    assert figure.plotted({name: table.slice(0, 0) for name, table in simulated().items()}) is None


@each_figure
def test_plotted__ignores_the_order_of_rows(figure: StoredFigure) -> None:
    assert figure.plotted(shuffled(simulated())) == figure.plotted(simulated())


# What is plotted ------------------------------------------------------------------------


def test_probability_curves__plot_every_stored_join_in_order() -> None:
    got = plotted("probability_curves").select(["panel", "position", "after", "spike"])
    assert got == simulated()["curves"].select(["panel", "position", "after", "spike"])


def test_probability_curves__say_how_users_were_chosen() -> None:
    """The default words are those of gateway.analyses.curves, numbers included."""
    default = BY_NAME["probability_curves"].caption(plotted("probability_curves"))
    assert f"users with {FEWEST_JOINS} to {MOST_JOINS[0]} scored joins" in default
    assert f"({FEWEST_JOINS} to {MOST_JOINS[1]} where" in default
    told = pa.table({"key": ["curve_rule"], "value": ["The users were drawn at random."]})
    tables = {**simulated(), "summary": told}
    got = BY_NAME["probability_curves"].caption(plotted("probability_curves", tables))
    assert got.endswith("The users were drawn at random.")


def test_probability_curves__go_back_to_the_level_before_a_tie() -> None:
    """Two joins of one tick: each jumps from the level before both; the third from both."""
    curves = pa.Table.from_pylist(
        [
            _join(1, before=0.1, after=0.2),
            _join(2, before=0.1, after=0.3),
            _join(3, before=0.4, after=0.5),
        ],
        schema=simulated()["curves"].schema,
    )
    data = plotted("probability_curves", {"curves": curves})
    line = BY_NAME["probability_curves"].draw(data).axes[0].get_lines()[1]
    expected = [10, 10, 20, 10, 10, 30, 40, 40, 50]
    assert line.get_ydata() == pytest.approx(expected)  # rounding of 100 x
    assert "in the same tick have no order" in BY_NAME["probability_curves"].caption(data)


def test_probability_curves__mark_no_probability_above_one() -> None:
    rows = [_join(1, before=0.1, after=0.6), _join(2, before=0.6, after=0.97)]
    curves = pa.Table.from_pylist(rows, schema=simulated()["curves"].schema)
    figure = BY_NAME["probability_curves"].draw(plotted("probability_curves", {"curves": curves}))
    ticks = figure.axes[0].get_yticks()
    assert ticks.max() == 100.0
    assert len(ticks) > 3


def _join(position: int, *, before: float, after: float) -> dict[str, Any]:
    return {
        "panel": 0, "user": "u", "position": position, "time": position // 3, "group": "g",
        "role": "ordinary", "before": before, "after": after, "spike": False,
        "is_target": False, "is_gateway": False,
    }  # fmt: skip


def test_probability_curves__hold_the_level_up_to_the_target() -> None:
    data = plotted("probability_curves")
    panel = data.filter(pc.equal(data["panel"], 0))
    expected = 100.0 * panel["after"].drop_null()[-1].as_py()
    axes = BY_NAME["probability_curves"].draw(data).axes[0]
    (star,) = (line for line in axes.get_lines() if line.get_marker() == "*")
    assert star.get_ydata() == pytest.approx([expected])  # rounding of 100 x
    assert star.get_xdata() == [panel.num_rows]


@pytest.mark.parametrize("top", [1, 30, 10_000])
def test_top_gateways__plot_the_first_ranks_of_the_spike_detector(top: int) -> None:
    gateways = simulated()["gateways"]
    other = gateways.set_column(0, "detector", pa.array(["rival"] * gateways.num_rows))
    tables = {**simulated(), "gateways": pa.concat_tables([other, gateways])}
    data = plotted("top_gateways", tables, top=top)
    ranked = gateways.filter(pc.is_valid(gateways["rank"])).slice(0, top)
    assert data.num_rows == min(top, ranked.num_rows)
    columns = ["rank", "group", "score", "ci_low", "ci_high", "n_joiners", "flagged"]
    assert data.select(columns) == ranked.select(columns)


def test_top_gateways__know_where_no_effect_is() -> None:
    assert plotted("top_gateways")["no_effect"].unique().to_pylist() == [0.0]
    assert plotted("top_gateways", alone())["no_effect"].unique().to_pylist() == [1.0]


def test_funnel__plots_every_ranked_group_and_no_other() -> None:
    gateways = simulated()["gateways"].to_pylist()
    expected = {row["group"] for row in gateways if row["rank"] is not None}
    assert set(plotted("funnel")["group"].to_pylist()) == expected


def test_precision_recall__plots_the_curve_whose_area_is_the_stored_average_precision() -> None:
    data = plotted("precision_recall")
    recall, precision = data["recall"].to_numpy(), data["precision"].to_numpy()
    got = -np.sum(np.diff(recall) * precision[:-1])
    # The same sum in another order.
    assert got == pytest.approx(data["average_precision"][0].as_py(), rel=1e-12)


def test_precision_recall__agrees_with_counting_by_hand() -> None:
    """A gateway first, a look-alike second, then a gateway and two others, all unranked."""
    groups = pa.table({"group": list("abcde"), "role": ["influence", "homophily", "influence",
                                                        "target", "ordinary"]})  # fmt: skip
    gateways = pa.table(
        {
            "detector": ["spike"] * 5,
            "group": list("abcde"),
            "rank": pa.array([1, 2, None, None, None], pa.int32()),
        }
    )
    data = plotted("precision_recall", {"groups": groups, "gateways": gateways})
    assert data["recall"].to_pylist() == [1.0, 0.5, 0.5, 0.0]
    assert data["precision"].to_pylist() == [0.4, 0.5, 1.0, 1.0]
    assert data["last_rank"].to_pylist() == [None, 2, 1, 0]
    assert data["base_rate"][0].as_py() == 0.4
    assert np.isnan(data["average_precision"][0].as_py())
    render(BY_NAME["precision_recall"].draw(data))


def test_precision_recall__needs_planted_gateways() -> None:
    assert BY_NAME["precision_recall"].plotted(real()) is None


def test_reliability__leaves_out_empty_bins() -> None:
    bins = simulated()["reliability"]
    n = bins["n"].to_pylist()
    n[3] = 0
    emptied = bins.set_column(1, "n", pa.array(n, pa.int64()))
    got = plotted("reliability", {"reliability": emptied})["bin"].to_pylist()
    assert got == [0, 1, 2, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("largest", "scale"), [(0.5, "linear"), (20.0, "log")])
def test_reliability__opens_up_crowded_bins(largest: float, scale: str) -> None:
    x = np.append(np.linspace(0.1, 0.4, 9), largest) / 100
    bins = pa.table(
        {
            "bin": pa.array(range(10), pa.int32()),
            "n": [50_000] * 10,
            "predicted": x,
            "observed": x,
            "ci_low": 0.9 * x,
            "ci_high": 1.1 * x,
        }
    )
    data = plotted("reliability", {"reliability": bins})
    assert BY_NAME["reliability"].draw(data).axes[0].get_xscale() == scale
    assert ("logarithmic" in BY_NAME["reliability"].caption(data)) == (scale == "log")


# Captions -------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", [simulated, real, hostile])
@each_figure
def test_caption__is_plain_sentences_without_gaps(figure: StoredFigure, tables: Any) -> None:
    data = figure.plotted(tables())
    if data is None:
        assert figure.NAME in NEED_TRUTH
        assert tables is real
        return
    got = figure.caption(data)
    assert got[0].isupper()
    assert got.endswith(".")
    assert "nan" not in got
    assert "None" not in got
    assert "  " not in got


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("probability_curves", "for 4 users"),
        ("top_gateways", "95 % interval"),
        ("top_gateways", "The 30 groups"),
        ("top_gateways", "Dot: the excess share who go on (percentage points): "),
        ("funnel", "ranked groups"),
        ("precision_recall", "40 of them are planted gateways"),
        ("precision_recall", "are homophily look-alikes"),
        ("interventions", "What 4 arms of interventions"),
        ("interventions", "12,000 target joins"),
        ("reliability", "95 % Wilson interval"),
        ("reliability", "611,845 predictions"),
    ],
)
def test_caption__says_how_many_and_which_interval(name: str, phrase: str) -> None:
    assert phrase in BY_NAME[name].caption(plotted(name))


# What is drawn --------------------------------------------------------------------------


def test_top_gateways__draw_role_and_flag_of_every_group() -> None:
    data = plotted("top_gateways")
    rows = zip(data["role"].to_pylist(), data["flagged"].to_pylist(), strict=True)
    expected = [(role(r).marker, role(r).color.upper(), flag) for r, flag in rows]
    assert marks(BY_NAME["top_gateways"].draw(data).axes[0]) == expected


def alone() -> dict[str, pa.Table]:
    """A result of the self-controlled detector alone, whose estimate is a ratio."""
    tables = with_rivals(simulated())
    rows = tables["gateways"]
    mine = rows.filter(pc.equal(rows["detector"], "self_controlled"))
    return {**tables, "gateways": mine}


@pytest.mark.parametrize(("end", "value"), [("ci_high", np.inf), ("ci_low", 0.0)])
def test_top_gateways__cut_an_interval_without_end_at_the_edge_with_an_arrow(end, value) -> None:
    """A bar of a ratio that begins at 0 has no end on a logarithmic axis either."""
    data = plotted("top_gateways", alone())
    ends = [value, *data[end].to_pylist()[1:]]
    endless = data.set_column(data.schema.get_field_index(end), end, pa.array(ends))
    axes = BY_NAME["top_gateways"].draw(endless).axes[0]
    low, high = axes.get_xlim()
    assert 0 < low < high < np.inf
    arrows = [line for line in axes.lines if line.get_marker() == ("<" if value == 0.0 else ">")]
    cut = [(line.get_xdata()[0], line.get_ydata()[0]) for line in arrows]
    assert (low if value == 0.0 else high, 0) in cut


def test_top_gateways__draw_a_ratio_on_a_logarithmic_axis_around_one() -> None:
    axes = BY_NAME["top_gateways"].draw(plotted("top_gateways", alone())).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == measure_of("self_controlled").estimate.axis
    dotted = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert dotted == [1.0]
    spike = BY_NAME["top_gateways"].draw(plotted("top_gateways")).axes[0]
    assert spike.get_xscale() == "linear"
    assert spike.get_xlabel().endswith("(percentage points)")


def test_top_gateways__say_that_a_level_is_not_held() -> None:
    tables = alone()
    names = pa.array(["survival"] * tables["gateways"].num_rows)
    rows = tables["gateways"].set_column(0, "detector", names)
    data = plotted("top_gateways", {**tables, "gateways": rows})
    assert "do not hold their level" in BY_NAME["top_gateways"].caption(data)


def test_top_gateways__draw_a_real_log_in_one_colour() -> None:
    data = plotted("top_gateways", real())
    got = {(shape, color) for shape, color, _ in marks(BY_NAME["top_gateways"].draw(data).axes[0])}
    assert len(got) == 1


def test_funnel__draws_planted_and_flagged_groups_over_the_cloud() -> None:
    data = plotted("funnel")
    drawn = marks(BY_NAME["funnel"].draw(data).axes[0])
    got = sum(1 for shape, color, _ in drawn if (shape, color) == ("o", "#D55E00"))
    assert got == data["role"].to_pylist().count("influence")


def test_roles__differ_in_colour_and_in_shape() -> None:
    roles = [role(name) for name in ("influence", "homophily", "hub", "target", "ordinary", "new")]
    assert len({drawn.color for drawn in roles}) == len(roles)
    assert len({drawn.marker for drawn in roles}) == len(roles)


def test_funnel__places_names_clear_of_each_other_and_inside() -> None:
    drawn = BY_NAME["funnel"].draw(plotted("funnel"))
    axes = drawn.axes[0]
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # letters, without lines
    assert boxes
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for box in boxes:
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        assert box.y1 <= axes.bbox.y1


@each_figure
def test_draw__keeps_everything_on_the_page(figure: StoredFigure) -> None:
    """Of whatever tables; most figures show the same of all three."""
    found = [figure.plotted(tables()) for tables in (hostile, simulated, real)]
    assert found[2] is not None or figure.NAME in NEED_TRUTH
    shown: list[pa.Table] = []
    for data in found:
        if data is None or any(data.equals(other) for other in shown):
            continue
        shown.append(data)
        drawn = figure.draw(data)
        FigureCanvasAgg(drawn)
        with look():
            drawn.draw_without_rendering()
            drawn.draw_without_rendering()  # the layout settles in two rounds
            visible = [axes for axes in drawn.axes if axes.get_visible()]
            boxes = [part.get_tightbbox() for part in (*visible, *drawn.legends)]
        for box in boxes:
            assert box is not None
            assert drawn.bbox.x0 - 1 <= box.x0  # one pixel: side bearings of glyphs
            assert box.x1 <= drawn.bbox.x1 + 1
            assert drawn.bbox.y0 - 1 <= box.y0
            assert box.y1 <= drawn.bbox.y1 + 1


@pytest.mark.parametrize(
    ("name", "width"),
    [(name, PAGE if name in WIDE else COLUMN) for name in NAMES],
)
def test_draw__has_the_width_of_a_column_or_a_page(name: str, width: float) -> None:
    assert BY_NAME[name].draw(plotted(name)).get_figwidth() == width


@pytest.mark.parametrize("n_panels", [1, 2, 3, 5, 12])
def test_probability_curves__draw_one_panel_per_user(n_panels: int) -> None:
    data = plotted("probability_curves", result_tables(n_groups=300, n_panels=n_panels))
    drawn = BY_NAME["probability_curves"].draw(data)
    assert sum(axes.get_visible() for axes in drawn.axes) == n_panels


@pytest.mark.parametrize(
    "name", ["probability_curves", "top_gateways", "funnel", "interventions", "reliability"]
)
def test_draw__copes_with_a_single_row(name: str) -> None:
    render(BY_NAME[name].draw(plotted(name).slice(0, 1)))


# Hostile names --------------------------------------------------------------------------


@each_figure
def test_draw__survives_hostile_names(figure: StoredFigure) -> None:
    """Warnings are errors here: a missing glyph or a parsed formula would raise."""
    drawn, svg = drawn_hostile(figure.NAME)
    ElementTree.fromstring(svg)  # noqa: S314 (our own file)
    render(drawn, kinds=["pdf"])
    assert not any(character in text for text in texts(drawn) for character in "\x07\x1b\u202e")


@pytest.mark.parametrize("name", HOSTILE)
def test_draw__writes_hostile_names_as_they_are(name: str) -> None:
    top, users = (texts(drawn_hostile(each)[0]) for each in ("top_gateways", "probability_curves"))
    assert label(name, limit=22) in top
    assert any(text.startswith(label(name, limit=20)) for text in users)


@pytest.mark.parametrize("figure", ["top_gateways", "probability_curves", "funnel"])
def test_draw__never_reads_a_name_as_mathematics(figure: str) -> None:
    drawn = drawn_hostile(figure)[0]
    if figure == "funnel":
        data = plotted(figure, hostile())
        drawn = BY_NAME[figure].draw(data.filter(pc.equal(data["group"], "$\\frac$ and $x")))
    found = [text for text in every_text(drawn) if "$\\frac$" in text.get_text()]
    assert found
    assert not any(text.get_parse_math() for text in found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two\nlines\tand\x07bell\x1b[31m", "two lines andbell[31m"),
        ("\u202eabc\u2066", "abc"),
        ("日本 x", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} x"),
        ("", "(no name)"),
        ("\u0301\u200b", "(no name)"),
        ("$x$ a_b^c", "$x$ a_b^c"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
    ],
)
def test_label__is_one_drawable_line(name: str, expected: str) -> None:
    assert label(name) == expected


@pytest.mark.parametrize("limit", [3, 4, 24, 25])
def test_shorten__keeps_both_ends_within_the_limit(limit: int) -> None:
    got = shorten("a" * 150 + "b" * 150, limit=limit)
    assert len(got) == limit
    assert got[0] == "a"
    assert got[-1] == "b"


@each_figure
def test_draw__takes_the_place_of_axes(figure: StoredFigure) -> None:
    """As a part of somebody's figure: as many axes as alone, and the other axes stay."""
    data = plotted(figure.NAME)
    alone = figure.draw(data)
    whole = Figure(figsize=(16.0, 6.0))
    left, right = whole.subplots(1, 2)
    part = figure.draw(data, ax=left)
    assert isinstance(part, SubFigure)
    assert part.get_figure(root=True) is whole
    assert len(part.axes) == len(alone.axes)
    assert left not in whole.axes
    assert right in whole.axes
    assert set(texts(part)) <= set(texts(whole))
    with look():
        whole.draw_without_rendering()


def test_render__of_a_part_is_of_the_whole_figure() -> None:
    whole = Figure(figsize=(6.0, 3.0))
    part = BY_NAME["reliability"].draw(plotted("reliability"), ax=whole.subplots(1, 2)[0])
    png = render(part, kinds=["png"])["png"]
    assert int.from_bytes(png[16:20], "big") == 6 * 300


def test_draw__refuses_axes_without_a_place() -> None:
    ax = Figure().add_axes((0.0, 0.0, 1.0, 1.0))
    with pytest.raises(GatewayError, match="one of a figure's subplots"):
        BY_NAME["funnel"].draw(plotted("funnel"), ax=ax)


# Bytes ----------------------------------------------------------------------------------


def digests_of_hostile() -> dict[str, str]:
    """Digests of all figures of hostile names, and of what is plotted in them."""
    files = {f"{name}.svg": drawn_hostile(name)[1] for name in NAMES}
    return _digest({**files, **{f"{name}.csv": csv_bytes(plotted(name, hostile()))
                                for name in NAMES}})  # fmt: skip


def digests_of_large() -> dict[str, str]:
    """Digests of all figures in every form; 1,700 groups: the cloud is an image, too."""
    made = {**result_tables(names=HOSTILE, n_groups=1_700, n_panels=2), "check": check_table()}
    found = {}
    for each in FIGURES:
        data = each.plotted(made)
        files = {**render(each.draw(data), kinds=KINDS), "csv": csv_bytes(data)}
        found |= {f"{each.NAME}.{kind}": digest for kind, digest in _digest(files).items()}
    return found


# Where nothing else may have loaded pyplot: no global state, no window.
_ELSEWHERE = """
import json, sys
from tests import test_figures
print(json.dumps([getattr(test_figures, sys.argv[1])(), "matplotlib.pyplot" in sys.modules]))
"""


def _digests(which: Callable[[], dict[str, str]], **environment: str) -> dict[str, str]:
    """Of another process."""
    ran = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, which.__name__], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, has_pyplot = json.loads(ran.stdout)
    assert not has_pyplot
    return dict(found)


def test_render__gives_the_same_bytes_in_another_process() -> None:
    """Hash seed, time zone and clock differ."""
    got = _digests(digests_of_hostile, PYTHONHASHSEED="1", TZ="Asia/Tokyo", SOURCE_DATE_EPOCH="0")
    assert got == digests_of_hostile()
    assert len(got) == 2 * len(FIGURES)


@pytest.mark.slow
def test_render__gives_the_same_bytes_of_every_kind_in_every_process() -> None:
    one = _digests(digests_of_large, PYTHONHASHSEED="1", TZ="UTC", SOURCE_DATE_EPOCH="0")
    two = _digests(
        digests_of_large, PYTHONHASHSEED="2", TZ="Asia/Tokyo", SOURCE_DATE_EPOCH="1000000000"
    )
    assert one == two
    assert len(one) == 4 * len(FIGURES)


def test_render__is_deaf_to_the_reader_s_own_settings() -> None:
    data = plotted("reliability")
    expected = _digest(rendered())
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "none", "text.parse_math": True}):
        before = dict(mpl.rcParams)
        got = _digest(render(BY_NAME["reliability"].draw(data)))
        assert dict(mpl.rcParams) == before
    assert got == expected


def test_render__gives_the_same_bytes_twice() -> None:
    drawn = BY_NAME["funnel"].draw(plotted("funnel"))
    assert _digest(render(drawn)) == _digest(render(drawn))


def _digest(files: Mapping[str, bytes]) -> dict[str, str]:
    return {kind: hashlib.sha256(content).hexdigest() for kind, content in files.items()}


@cache
def rendered() -> Mapping[str, bytes]:
    return render(BY_NAME["reliability"].draw(plotted("reliability")))


def test_render__writes_files_of_the_right_kind() -> None:
    files = rendered()
    assert files["pdf"].startswith(b"%PDF")
    assert files["svg"].startswith(b"<?xml")
    assert files["png"].startswith(b"\x89PNG")
    width = int.from_bytes(files["png"][16:20], "big")
    assert width == round(COLUMN * 300)


def test_render__writes_no_date_and_no_version() -> None:
    files = rendered()
    assert b"CreationDate" not in files["pdf"]
    assert b"dc:date" not in files["svg"]
    for content in files.values():
        assert mpl.__version__.encode() not in content


def test_render__embeds_truetype() -> None:
    files = rendered()
    assert b"/FontFile2" in files["pdf"]
    assert b"<text" not in files["svg"]


def test_csv__holds_what_is_plotted() -> None:
    data = plotted("top_gateways", hostile())
    content = csv_bytes(data)
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    back = pyarrow.csv.read_csv(io.BytesIO(content), parse_options=options)
    # A spreadsheet shall not compute what a stranger called a group.
    plain = [f"'{name}" if name[:1] in "=+-@" and name else name
             for name in data["group"].to_pylist()]  # fmt: skip
    assert back["group"].to_pylist() == plain
    assert "'=1+1" in plain
    assert back["score"].to_pylist() == data["score"].to_pylist()
    assert content.endswith(b"\n")
    assert b"\r" not in content


def test_direct_effects__role_means_weigh_groups_by_their_joins() -> None:
    data = plotted("direct_effects").to_pandas()
    for _, mine in data.groupby("role"):
        expected = np.average(mine["direct_effect"], weights=mine["n_joins"])
        assert mine["role_mean"].unique() == pytest.approx([expected])  # sums in another order
    assert not set(data["group"]) & set(
        simulated()["groups"].filter(simulated()["groups"]["is_target"])["group"].to_pylist()
    )


def test_direct_effects__need_a_truth() -> None:
    assert BY_NAME["direct_effects"].plotted(real()) is None


# Studies ----------------------------------------------------------------------------------


def test_event_study__plots_flagged_roles_and_one_reference() -> None:
    data = plotted("event_study")
    got = set(zip(data["flagged"].to_pylist(), data["role"].to_pylist(), strict=True))
    roles = {(True, "homophily"), (True, "influence"), (True, "ordinary")}
    assert got == roles | {(False, "ordinary")}
    assert pc.min(data["n_users"]).as_py() >= 10
    flagged = data.filter(data["flagged"])
    assert pc.min(flagged["offset"]).as_py() == -9  # the tenth is reached by too few


def test_event_study__needs_a_flagged_group() -> None:
    table = simulated()["event_study"]
    none = table.filter(pc.invert(table["flagged"]))
    assert BY_NAME["event_study"].plotted({"event_study": none}) is None


def test_event_study__draws_what_is_plotted() -> None:
    data = plotted("event_study")
    lines = BY_NAME["event_study"].draw(data).axes[0].get_lines()
    shown = {tuple(line.get_ydata()) for line in lines if len(line.get_xdata()) > 2}
    homophily = data.filter(pc.and_(data["flagged"], pc.equal(data["role"], "homophily")))
    assert tuple(100.0 * homophily["change"].to_numpy()) in shown
    assert len(shown) == 4


def test_benchmark__means_over_the_replicates_of_a_sweep() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=4, swept=False)
    data = plotted("benchmark", {"evaluation": evaluation})
    frame = evaluation.to_pandas()
    expected = frame.groupby(["metric", "detector"])["value"].mean()
    for row in data.to_pylist():
        assert row["value"] == pytest.approx(expected[row["metric"], row["detector"]])
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["n_worlds"] == 4
    assert "mean over 4 simulated worlds" in BY_NAME["benchmark"].caption(data)


def test_benchmark__orders_detectors_by_average_precision() -> None:
    data = plotted("benchmark")
    names = list(dict.fromkeys(data["detector"].to_pylist()))
    assert names == ["self_controlled", "spike", "frequentist", "markov_removal"]
    assert "spike (the note)" in texts(BY_NAME["benchmark"].draw(data))


def test_benchmark__takes_no_mean_over_different_worlds() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1))
    assert BY_NAME["benchmark"].plotted({"evaluation": evaluation}) is None


def test_benchmark__of_one_run_shows_its_own_intervals() -> None:
    tables = {name: table for name, table in simulated().items() if name != "benchmark"}
    assert BY_NAME["benchmark"].plotted(tables) is None  # one detector
    data = plotted("benchmark", with_rivals(tables))
    assert "in one simulated world" in BY_NAME["benchmark"].caption(data)
    expected = tables["evaluation"].to_pylist()
    (row,) = [r for r in data.to_pylist()
              if (r["detector"], r["metric"]) == ("spike", "average_precision")]  # fmt: skip
    assert row["ci_low"] in {r["ci_low"] for r in expected if r["metric"] == "average_precision"}


def test_phase_diagram__has_a_cell_for_each_pair_of_a_sweep() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=3)
    data = plotted("phase_diagram", {"evaluation": evaluation})
    assert data.num_rows == 4 * 3 * 4  # values of two keys, detectors
    assert data["x_key"].unique().to_pylist() == ["world.roles.homophily"]
    assert data["y_key"].unique().to_pylist() == ["world.roles.influence_strength"]
    frame = evaluation.to_pandas().query("metric == 'average_precision'")
    cell = data.to_pylist()[7]
    mine = frame[
        (frame["detector"] == cell["detector"])
        & (frame["world.roles.homophily"] == cell["x"])
        & (frame["world.roles.influence_strength"] == cell["y"])
    ]
    assert cell["value"] == pytest.approx(mine["value"].mean())
    assert cell["n_worlds"] == len(mine) == 3


def test_phase_diagram__draws_the_cells_where_they_belong() -> None:
    data = plotted("phase_diagram").filter(pc.equal(plotted("phase_diagram")["detector"], "spike"))
    axes = BY_NAME["phase_diagram"].draw(data).axes[0]
    drawn = np.asarray(axes.collections[0].get_array()).reshape(3, 4)
    row = data.filter(pc.and_(pc.equal(data["x"], 80.0), pc.equal(data["y"], 1.4))).to_pylist()[0]
    assert drawn[2, 3] == row["value"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "20", "40", "80"]


def test_phase_diagram__leaves_a_missing_point_empty() -> None:
    data = plotted("phase_diagram").slice(1)
    axes = BY_NAME["phase_diagram"].draw(data).axes
    assert sum(np.ma.count_masked(one.collections[0].get_array()) for one in axes[:2]) == 1


def test_phase_diagram__needs_two_numeric_keys() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), swept=False)
    assert BY_NAME["phase_diagram"].plotted({"evaluation": evaluation}) is None


def test_phase_diagram__shows_any_metric_with_its_intervals() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=3)
    data = plotted("phase_diagram", {"evaluation": evaluation}, metric="precision_at_50")
    cell = data.to_pylist()[7]
    frame = evaluation.to_pandas().query("metric == 'precision_at_50'")
    mine = frame[
        (frame["detector"] == cell["detector"])
        & (frame["world.roles.homophily"] == cell["x"])
        & (frame["world.roles.influence_strength"] == cell["y"])
    ]["value"]
    # Student's t with two degrees of freedom: 4.3027 standard errors.
    half = 4.30265 * mine.std() / 3**0.5
    assert cell["ci_high"] - cell["value"] == pytest.approx(half, rel=1e-5)
    assert "precision at 50" in BY_NAME["phase_diagram"].caption(data)
    with pytest.raises(GatewayError, match="metric must be one of average_precision and precision"):
        plotted("phase_diagram", {"evaluation": evaluation}, metric="recall")


def test_phase_diagram__a_cell_over_other_worlds_says_so() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=3)
    gone = pc.and_(pc.equal(evaluation["point"], 0), pc.equal(evaluation["detector"], "spike"))
    data = plotted("phase_diagram", {"evaluation": evaluation.filter(pc.invert(gone))})
    drawn = BY_NAME["phase_diagram"].draw(data)
    written = [text for text in texts(drawn) if "±" in text]
    assert len(written) == data.num_rows
    assert ["n=" in text for text in written].count(True) == 1
    assert "another number of worlds" in BY_NAME["phase_diagram"].caption(data)


def test_phase_diagram__has_a_scale_of_its_own_where_values_are_no_shares() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=2)
    at = evaluation.schema.get_field_index("value")
    counts = pc.multiply(evaluation["value"], 40.0)
    data = plotted("phase_diagram", {"evaluation": evaluation.set_column(at, "value", counts)})
    mesh = BY_NAME["phase_diagram"].draw(data).axes[0].collections[0]
    assert mesh.norm.vmax == pytest.approx(pc.max(data["value"]).as_py())


def one_key() -> pa.Table:
    evaluation = sweep_evaluation(np.random.default_rng(1), replicates=3)
    return evaluation.filter(pc.equal(evaluation["world.roles.influence_strength"], 1.4))


def test_sweep_lines__have_a_mark_and_an_interval_for_each_point() -> None:
    data = plotted("sweep_lines", {"evaluation": one_key()})
    assert data.num_rows == 4 * 4  # values of the key, detectors
    axes = BY_NAME["sweep_lines"].draw(data).axes[0]
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [4] * 4
    drawn = np.concatenate([np.asarray(bars.get_segments())[:, :, 1] for bars in axes.collections])
    ends = sorted(zip(data["ci_low"].to_pylist(), data["ci_high"].to_pylist(), strict=True))
    assert np.allclose(sorted(map(tuple, drawn)), ends)


def test_sweep_lines__are_of_one_numeric_key() -> None:
    both = {"evaluation": sweep_evaluation(np.random.default_rng(1))}
    assert BY_NAME["sweep_lines"].plotted(both) is None
    assert BY_NAME["phase_diagram"].plotted({"evaluation": one_key()}) is None


def test_figure__is_found_by_its_name_alone() -> None:
    assert [figure(name) for name in NAMES] == list(FIGURES)
    with pytest.raises(GatewayError, match=r"figure must be one of probability_curves, .*'tree'"):
        figure("tree")


def test_dose_response__plots_target_joins_averted_alone() -> None:
    data = plotted("dose_response")
    assert data["quantity"].unique().to_pylist() == ["averted"]
    assert data.num_rows == 2 * 3 * 4
    names = texts(BY_NAME["dose_response"].draw(data))
    assert {"demotion", "gysj seed filter", "oracle", "self controlled"} <= set(names)


def test_dose_response__reads_arms_that_differ_in_a_number_alone() -> None:
    arms = [("demotion: spike, 10", 10, 5.0), ("demotion: spike, 20", 20, 8.0),
            ("demotion: oracle, 10", 10, 9.0), ("demotion: oracle, 20", 20, 18.0),
            ("all gateways", 40, 99.0)]  # fmt: skip
    rows = [
        {"arm": arm, "n_groups": n, "averted": v, "averted_low": v - 1, "averted_high": v + 1}
        for arm, n, v in arms
    ]
    data = plotted("dose_response", {"interventions": pa.Table.from_pylist(rows)})
    got = set(zip(*(data[k].to_pylist() for k in ("chosen_by", "n_groups", "value")), strict=True))
    assert got == {("spike", 10, 5), ("spike", 20, 8), ("oracle", 10, 9), ("oracle", 20, 18)}
    assert data["intervention"].unique().to_pylist() == ["demotion"]
    lone = {"interventions": pa.Table.from_pylist(rows[-1:])}
    assert BY_NAME["dose_response"].plotted(lone) is None


def test_funnel__ties_a_crowded_name_to_its_mark_by_a_line() -> None:
    """Five marks side by side: no name may stand nearer to another mark than to its own."""
    rows = [
        {"detector": "spike", "group": f"group {i}", "rank": i + 2, "score": 0.5 - 0.004 * i,
         "n_joiners": 100 + 3 * i, "n_events": 40, "flagged": True}
        for i in range(5)
    ]  # fmt: skip
    rows.append({**rows[0], "group": "far", "rank": 1, "score": 0.1, "n_joiners": 900})
    gateways = pa.Table.from_pylist(rows)
    groups = pa.table({"group": gateways["group"], "role": ["influence"] * 6})
    data = plotted("funnel", {"gateways": gateways, "groups": groups})
    drawn = BY_NAME["funnel"].draw(data)
    axes = drawn.axes[0]
    found = [text for text in axes.texts if isinstance(text, Annotation)]
    assert len(found) >= 3
    tied = [text for text in found if text.arrow_patch is not None]
    assert tied
    x, y = data["n_joiners"].to_numpy(), 100.0 * data["score"].to_numpy()
    marks = axes.transData.transform(np.column_stack([x, y]))
    bare = [text for text in found if text.arrow_patch is None]
    assert "far" in [text.get_text() for text in bare]
    for text in bare:
        box = Text.get_window_extent(text)
        gap = [max(box.x0 - mx, mx - box.x1, box.y0 - my, my - box.y1) for mx, my in marks]
        own = axes.transData.transform(text.xy)
        assert np.argmin(gap) == np.argmin(np.hypot(*(marks - own).T))


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def lightness(color: str) -> float:
    """CIE L* of a colour: what is left of it in grey."""
    y = luminance(color)
    return 116.0 * float(np.cbrt(y)) - 16.0 if y > 0.008856 else 903.3 * y


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(color) for color in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_roles__of_one_lightness_differ_in_shape() -> None:
    """In grey two colours are one where their lightness is: there the shape has to do."""
    names = ("influence", "homophily", "hub", "fellow_traveller", "target", "ordinary")
    for one, other in combinations(map(role, names), 2):
        apart = abs(lightness(one.color) - lightness(other.color)) > 10.0
        assert apart or one.marker != other.marker


@pytest.mark.parametrize("value", np.linspace(0.0, 1.0, 101))
def test_letters_on__can_be_read_on_any_cell(value: float) -> None:
    ground = to_hex(mpl.colormaps["cividis"](value))
    assert contrast(ground, letters_on(value)) >= 4.5


def test_interventions__plot_every_arm_with_its_changes_by_mechanism() -> None:
    tables = simulated()
    got = plotted("interventions")
    averted = got["averted"].to_pylist()
    assert averted == sorted(averted, reverse=True)
    assert got.num_rows == tables["interventions"].num_rows
    for row in got.to_pylist():
        change = sum(
            row[f"change_{m}"] for m in ("recommendation", "friends", "invitation", "intent")
        )
        rows = [r for r in tables["intervention_sources"].to_pylist() if r["arm"] == row["arm"]]
        expected = [r["otherwise"] - r["factual"] for r in rows if r["kind"] == "target"]
        assert change == sum(expected)


def test_interventions__draw_what_each_mechanism_changed_on_its_side_of_zero() -> None:
    data = plotted("interventions")
    bars = list(BY_NAME["interventions"].draw(data).axes[2].patches)
    assert len(bars) == 4 * data.num_rows
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert all(low * high >= 0 for low, high in ends)  # no bar crosses zero
    top = [end for bar, end in zip(bars, ends, strict=True) if abs(bar.get_y() + 0.31) < 1e-9]
    lost = sum(high - low for low, high in top if high < low)
    assert lost == sum(min(data[f"change_{m}"][0].as_py(), 0) for m in MECHANISMS)


# The note's analyses ---------------------------------------------------------------------


def test_join_sources__plot_shares_that_sum_to_one_largest_published_first() -> None:
    data = plotted("join_sources")
    assert pc.sum(data["published"]).as_py() == pytest.approx(1.0)
    published = data["published"].to_pylist()
    assert published == sorted(published, reverse=True)
    assert "2,713 requests" in BY_NAME["join_sources"].caption(data)


def test_pathways__plot_every_request_largest_role_and_source_first() -> None:
    data, stored = plotted("pathways"), simulated()["analyses/pathways"]
    for key in ("requests", "confirmed"):
        assert pc.sum(data[key]).as_py() == pc.sum(stored[key]).as_py()
    sums = data.group_by("role", use_threads=False).aggregate([("requests", "sum")])
    got = sums["requests_sum"].to_pylist()
    assert got == sorted(got, reverse=True)
    assert data["source"].to_pylist()[:3] == ["gysj", "search", "permalink"]


def test_pathways__draw_ribbons_as_high_as_their_requests() -> None:
    data = plotted("pathways")
    (axes,) = BY_NAME["pathways"].draw(data).axes
    ribbons = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    height = [
        patch.get_path().vertices[0, 1] - patch.get_path().vertices[7, 1] for patch in ribbons
    ]
    requests = data["requests"].to_pylist()
    got = np.array(height[: len(requests)]) / height[0]
    np.testing.assert_allclose(got, np.array(requests) / requests[0], rtol=1e-9)
    # On both sides of a source there is as much: what came in, and what became of it.
    assert sum(height[len(requests) :]) == pytest.approx(sum(height[: len(requests)]))


def test_pathways__of_a_platform_without_known_roles_are_drawn_in_one_colour() -> None:
    tables = {name: table for name, table in simulated().items() if name != "groups"}
    assert set(plotted("pathways", tables)["role"].to_pylist()) == {"unknown"}


def test_exposure_contrast__plots_the_note_s_answer_the_corrected_and_the_truth() -> None:
    data = plotted("exposure_contrast")
    expected = ["observational", "corrected", "randomised, gateway members", "randomised"]
    assert data["how"].to_pylist() == expected
    assert data["simulated"].to_pylist() == [0.03, 0.02, 0.006, 0.004]


def test_signal_correlations__mark_cells_that_the_note_does_not_show() -> None:
    data = plotted("signal_correlations")
    assert data.num_rows == 21
    got = texts(BY_NAME["signal_correlations"].draw(data))
    assert got.count("?") == 21 - 15
    assert "−0.03" in got


@pytest.mark.parametrize(
    "name", ["join_sources", "pathways", "exposure_contrast", "label_times", "signal_correlations"]
)
def test_caption__of_the_note_s_figures_says_that_a_fit_is_no_evidence(name: str) -> None:
    assert "not evidence about the real platform" in BY_NAME[name].caption(plotted(name))


def test_scaling__draws_every_size_and_the_exponents_of_a_power_law() -> None:
    users = np.array([1e5, 1e6, 1e7])
    data = pa.table(
        {
            "users": users.astype(int), "joins": (15 * users).astype(int), "seconds": 1e-5 * users,
            "cpu_seconds": 3e-7 * users**1.25, "base_mib": np.full(3, 200.0),
            "peak_mib": 200 + 4e-4 * users,
        }
    )  # fmt: skip
    left, right = cost_figures.draw_simulation(data).axes
    assert left.lines[0].get_xydata().tolist() == [[u, 1e-5 * u] for u in users]
    assert [text.get_text()[-6:] for text in left.get_legend().get_texts()] == [" 1.00)", " 1.25)"]
    np.testing.assert_allclose(right.lines[0].get_ydata(), 4e-4 * users)
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"


def test_memory_curve__draws_every_piece_of_work_and_what_is_allowed() -> None:
    work = ["convert", "counts", "spike", "in memory"]
    rows = [
        {"work": name, "rows": n, "log_mib": n / 1e4, "allowed_mib": 96.0, "peak_mib": k * n / 1e4,
         "anonymous_mib": 1.0}
        for k, name in enumerate(work, start=1)
        for n in (10_000, 400_000)
    ]  # fmt: skip
    trace = [
        {"work": name, "rows": n, "second": s, "resident_mib": 2.0 * s, "anonymous_mib": 1.0 * s}
        for name in work
        for n in (10_000, 400_000)
        for s in (0.0, n / 1e5)
    ]
    left, right = cost_figures.draw_memory_curve(
        pa.Table.from_pylist(rows), pa.Table.from_pylist(trace)
    ).axes
    for k, line in enumerate(left.lines[:4], start=1):
        assert line.get_xydata().tolist() == [[1.0, k], [40.0, 40.0 * k]]
    assert [line.get_ydata()[0] for line in (left.lines[4], right.lines[2])] == [96.0, 96.0]
    assert right.lines[0].get_xydata().tolist() == [[0.0, 0.0], [4.0, 8.0]]
    assert right.lines[1].get_ydata().tolist() == [0.0, 4.0]


def test_scaling__of_one_size_has_no_exponent() -> None:
    assert np.isnan(cost_figures.exponent(np.array([1e5]), np.array([3.0])))


def test_exponent_interval__holds_the_slope_that_the_sizes_were_made_with() -> None:
    size = np.array([1e4, 1e5, 1e6, 1e7])
    cost = 2e-6 * size**1.1 * np.array([1.05, 0.97, 1.02, 0.99])
    slope, low, high = cost_figures.exponent_interval(size, cost)
    assert low < 1.1 < high
    assert slope == pytest.approx(cost_figures.exponent(size, cost))
    # By hand: t with 2 degrees of freedom, residuals of the line of logarithms.
    x, y = np.log(size), np.log(cost)
    rest = y - np.polyval(np.polyfit(x, y, 1), x)
    error = np.sqrt(rest @ rest / 2 / ((x - x.mean()) ** 2).sum())
    assert (high - low) / 2 == pytest.approx(4.302653 * error, rel=1e-6)


def test_exponent_interval__of_two_sizes_is_unknown() -> None:
    slope, low, high = cost_figures.exponent_interval(np.array([1e4, 1e5]), np.array([1.0, 10.0]))
    assert slope == pytest.approx(1.0)
    assert np.isnan([low, high]).all()


STAGE_ROWS = pa.table(
    {
        "stage": ["train"] * 5 + ["simulate"] * 2,
        "series": ["joins"] * 3 + ["groups"] * 2 + ["users"] * 2,
        "joins": [10**5, 10**6, 10**7, 10**6, 10**6, 0, 0],
        "groups": [5_000, 5_000, 5_000, 10**3, 10**5, 2_500, 25_000],
        "users": [10**4, 10**5, 10**6, 10**5, 10**5, 10**4, 10**5],
        "seconds": [0.1, 1.0, 10.0, 0.5, 2.0, 0.2, 1.5],
        "added_mib": [0.0, 10.0, 100.0, 1.0, 5.0, 3.0, 30.0],
    }
)


def test_stage_scaling__draws_a_panel_for_each_stage_and_a_line_for_what_varies() -> None:
    train, simulate = cost_figures.draw_time(STAGE_ROWS).axes
    assert [axes.get_title("left") for axes in (train, simulate)] == ["train", "simulate"]
    joins, groups = train.lines
    assert joins.get_xydata().tolist() == [[1e5, 0.1], [1e6, 1.0], [1e7, 10.0]]
    assert groups.get_xydata().tolist() == [[1e3, 0.5], [1e5, 2.0]]
    (users,) = simulate.lines
    assert users.get_xydata().tolist() == [[1e4, 0.2], [1e5, 1.5]]
    labels = [text.get_text() for text in train.get_legend().get_texts()]
    assert labels == ["joins (1.00)", "groups (0.30)"]


def test_stage_scaling__leaves_out_memory_too_small_to_be_seen() -> None:
    train, _ = cost_figures.draw_memory(STAGE_ROWS).axes
    assert train.lines[0].get_xydata().tolist() == [[1e6, 10.0], [1e7, 100.0]]


def test_stage_scaling__says_so_where_a_stage_adds_no_memory_that_shows() -> None:
    none = pa.array(np.zeros(len(STAGE_ROWS)))
    train, _ = cost_figures.draw_memory(STAGE_ROWS.set_column(6, "added_mib", none)).axes
    assert not train.lines
    assert [text.get_text() for text in train.texts] == ["below 1 MiB"]


def test_stage_scaling__labels_decades_without_mathematics() -> None:
    figure = cost_figures.draw_time(STAGE_ROWS)
    figure.canvas.draw()
    got = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert {"10k", "1M"} <= set(got)
    assert not any("$" in text for text in got)
