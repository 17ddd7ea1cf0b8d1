"""Arms of interventions: target joins averted, benign joins lost, and where joins moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gateway.figures.labels import label
from gateway.figures.stored import floats
from gateway.figures.style import BLUE, FAINT, INK, MUTED, PAGE, RULE, styled
from gateway.figures.style import figure as new_figure
from gateway.wording import count, counted, percent

__all__ = ["NAME", "caption", "draw", "plotted"]

NAME: str = "interventions"

_MOST = 24
"""Arms of the most effect that are drawn; the stored table has all."""
# Fill and hatching of each mechanism: told apart in grey as well.
_MECHANISMS: Mapping[str, tuple[str, str]] = {
    "recommendation": (BLUE, ""),
    "friends": ("#E69F00", "////"),
    "invitation": ("#009E73", "...."),
    "intent": (FAINT, ""),
}
_MEASURES = ("averted", "benign_lost")


def plotted(tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return a row for each arm, most target joins averted first; None without arms.

    ``change_<mechanism>`` is the change of target joins by the mechanism that brought them:
    minus what was averted, plus what moved there.
    """
    if "interventions" not in tables or tables["interventions"].num_rows == 0:
        return None
    order = [("averted", "descending"), ("arm", "ascending")]
    arms = tables["interventions"].sort_by(order).slice(0, _MOST)
    ends = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
    data = arms.select(["arm", "n_groups", "target_joins", "share_averted", *ends])
    for mechanism in _MECHANISMS:
        change = _change(tables["intervention_sources"], mechanism, arms["arm"].to_pylist())
        data = data.append_column(f"change_{mechanism}", pa.array(change, pa.int64()))
    return data


def _change(sources: pa.Table, mechanism: str, arms: Sequence[str]) -> list[int]:
    rows = sources.filter(
        pc.and_(pc.equal(sources["kind"], "target"), pc.equal(sources["mechanism"], mechanism))
    )
    total = dict.fromkeys(arms, 0)
    for row in rows.to_pylist():
        if row["arm"] in total:
            total[row["arm"]] += row["otherwise"] - row["factual"]
    return [total[arm] for arm in arms]


@styled
def draw(data: pa.Table) -> Figure:
    """Draw three panels with a row for each arm."""
    n = data.num_rows
    figure = new_figure(PAGE, 1.15 + 0.26 * n)
    axes = figure.subplots(1, 3, sharey=True)
    place = -np.arange(n, dtype=np.float64)
    _draw_estimates(axes[0], data, "averted", place, "target joins averted")
    _draw_estimates(axes[1], data, "benign_lost", place, "benign joins lost")
    _draw_changes(axes[2], data, place)
    names = [label(arm, limit=30) for arm in data["arm"].to_pylist()]
    axes[0].set_yticks(place, names)
    axes[0].set_ylim(-n + 0.45, 0.55)
    for panel in axes:
        panel.tick_params(axis="y", length=0)
        panel.axvline(0.0, color=MUTED, lw=0.8, zorder=0.5)
        panel.grid(axis="x", color=RULE)
        panel.locator_params(axis="x", nbins=5)
    figure.legend(handles=_keys(), loc="outside lower center", ncols=4)
    return figure


def _draw_estimates(
    axes: Axes, data: pa.Table, name: str, place: npt.NDArray[np.float64], title: str
) -> None:
    low, high = floats(data, f"{name}_low"), floats(data, f"{name}_high")
    axes.hlines(place, low, high, color=INK, lw=1.4, zorder=2)
    axes.plot(floats(data, name), place, ls="none", marker="o", ms=4.0, color=BLUE, zorder=3)
    axes.set_xlabel(title)


def _draw_changes(axes: Axes, data: pa.Table, place: npt.NDArray[np.float64]) -> None:
    """Stack what each mechanism lost to the left of zero and what it gained to the right."""
    ends = np.zeros((2, len(place)))
    for mechanism, (color, hatch) in _MECHANISMS.items():
        change = floats(data, f"change_{mechanism}")
        side = (change > 0).astype(np.int64)
        start = ends[side, np.arange(len(place))]
        axes.barh(
            place, change, left=start, height=0.62, color=color, hatch=hatch,
            edgecolor="white", lw=0.4, zorder=2,
        )  # fmt: skip
        ends[side, np.arange(len(place))] += change
    axes.set_xlabel("change of target joins by mechanism")


def _keys() -> list[Patch]:
    return [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", lw=0.4, label=mechanism)
        for mechanism, (color, hatch) in _MECHANISMS.items()
    ]


def caption(data: pa.Table) -> str:
    """Say what was compared, what the intervals are, and what the bars mean."""
    best = data["share_averted"][0].as_py()
    most = "" if best is None else f" The first arm averts {percent(best)} of them."
    return (
        f"What {counted(data.num_rows, 'arm')} of interventions would change, each a simulation "
        "of the same platform that shares every other random draw with the factual one, which has "
        f"{count(data['target_joins'][0].as_py())} target joins.{most} Left and middle: target "
        "joins averted and joins of benign groups lost in all; bars are 95 % intervals from the "
        "users' paired differences, users taken as independent. Right: the change of target "
        "joins by the mechanism that brought them; what stands to the right of zero moved there."
    )
