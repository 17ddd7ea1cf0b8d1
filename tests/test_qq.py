"""The figure of the simulator's laws: what is plotted, how it is drawn, and its bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments import qq
from experiments.verification import as_table, by_quantiles, by_tail
from gateway.figures import render
from gateway.figures.style import PAGE


@pytest.fixture(scope="module")
def checks():
    from scipy import stats

    rng, edges = np.random.default_rng(2), np.arange(10)
    right = by_quantiles("A right law", "days", rng.exponential(size=500), stats.expon())
    wrong = by_quantiles("A wrong law", "days", rng.exponential(1.5, size=500), stats.expon())
    counts = by_tail(
        "Counts", "users", rng.poisson(2.0, 500), edges, stats.poisson(2.0).sf(edges - 1)
    )
    return as_table([right, wrong, counts, right, counts])


@pytest.fixture(scope="module")
def drawn(checks):
    figure = qq.draw(qq.plotted({"checks": checks}))
    FigureCanvasAgg(figure).draw()
    return figure


def test_plotted__is_none_without_checks(checks):
    assert qq.plotted({}) is None
    assert qq.plotted({"checks": checks.slice(0, 0)}) is None


def test_plotted__ignores_the_order_of_rows(checks):
    order = np.random.default_rng(1).permutation(checks.num_rows)
    assert qq.plotted({"checks": checks.take(order)}) == qq.plotted({"checks": checks})


def test_draw__has_two_panels_for_each_law_with_its_p_value(drawn):
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    laws = [title.split("\n")[0] for title in titles[::2]]
    assert laws == ["A right law", "A wrong law", "Counts", "A right law", "Counts"]
    assert len(drawn.axes) == 10
    assert "p < .001" in titles[2]
    assert "n = 500, p = ." in titles[0]
    assert drawn.get_size_inches()[0] == PAGE


def test_draw__shows_every_point_and_how_far_it_is_off(checks, drawn):
    data = qq.plotted({"checks": checks})
    first = data.filter(pa.compute.equal(data["panel"], 1))
    upper, lower = drawn.axes[2], drawn.axes[3]
    points = upper.get_lines()[-1]
    np.testing.assert_array_equal(points.get_ydata(), first["sample"].to_numpy())
    deviation = lower.get_lines()[-1].get_ydata()
    outside = (first["sample"].to_numpy() > first["high"].to_numpy()) | (
        first["sample"].to_numpy() < first["low"].to_numpy()
    )
    np.testing.assert_array_equal(np.abs(deviation) > 1, outside)
    assert outside.mean() > 0.5  # the wrong law


def test_draw__keeps_titles_and_labels_inside_the_page_and_apart(drawn):
    renderer, page = drawn.canvas.get_renderer(), drawn.bbox
    for row in (drawn.axes[:8:2], drawn.axes[1:8:2]):
        texts = [text for a in row for text in (a.xaxis.label, a._left_title) if text.get_text()]
        boxes = [text.get_window_extent(renderer) for text in texts]
        assert boxes
        for box, text in zip(boxes, texts, strict=True):
            assert box.x0 >= page.x0, text.get_text()
            assert box.x1 <= page.x1, text.get_text()
            assert sum(box.overlaps(other) for other in boxes) == 1, text.get_text()


def test_caption__counts_the_laws_and_the_small_p_values(checks):
    got = qq.caption(qq.plotted({"checks": checks}))
    assert got.startswith("5 laws of the simulator")
    assert "1 law below .05" in got


def test_render__twice_gives_the_same_bytes(checks):
    data = qq.plotted({"checks": checks})
    assert render(qq.draw(data)) == render(qq.draw(data))
