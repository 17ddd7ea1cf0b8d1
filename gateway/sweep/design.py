"""Where the points of a sweep lie.

``random`` and ``sobol`` can be extended: with more points, the first ones stay. A Latin
hypercube cannot: its strata are as many as its points, so another number of points is
another design, and every point is computed anew.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.config.swept import AxisSection, SweepSection


@dataclass(frozen=True)
class Setting:
    """A key and its value in one point."""

    key: str  # dotted
    value: Any  # as TOML gives it
    item: int | None = None  # which item of the axis' list it is, None for a value of a range


def draw_design(sweep: SweepSection, whole: frozenset[str]) -> list[tuple[Setting, ...]]:
    """Return the settings of every point, replicates left out.

    Parameters
    ----------
    whole
        Keys that take whole numbers.

    Returns
    -------
    list
        One row per point, in the order of the design: in a grid the last key changes
        first.
    """
    if sweep.design in {"grid", "zip"}:
        axes = [_listed(key, axis, key in whole) for key, axis in sweep.over.items()]
        rows = itertools.product(*axes) if sweep.design == "grid" else zip(*axes, strict=True)
        return list(rows)
    unit = _unit_points(sweep.design, sweep.points or 0, len(sweep.over), sweep.design_seed)
    return [_row(sweep.over, u, whole) for u in unit]


def _unit_points(design: str, n: int, d: int, seed: int) -> npt.NDArray[np.float64]:
    """Draw points in the unit cube, shape (n, d)."""
    rng = np.random.default_rng(seed)
    if design == "random":
        return rng.random((n, d))
    from scipy.stats import qmc  # noqa: PLC0415  (a second to load; other designs need none)

    if design == "latin_hypercube":
        return np.asarray(qmc.LatinHypercube(d, rng=rng).random(n))
    # A whole power of two keeps the balance that scipy warns about, and is cut afterwards.
    return np.asarray(qmc.Sobol(d, rng=rng).random_base2(max(n - 1, 0).bit_length())[:n])


def _listed(key: str, axis: AxisSection, is_whole: bool) -> Sequence[Setting]:
    """Return every value of an axis; a whole number that comes twice counts once."""
    if axis.values is not None:
        return [Setting(key, value, item) for item, value in enumerate(axis.values)]
    assert axis.low is not None  # noqa: S101  (the section's own rule)
    assert axis.high is not None  # noqa: S101
    space = np.geomspace if axis.scale == "log" else np.linspace
    values = space(axis.low, axis.high, axis.points or 2).tolist()
    if is_whole:
        values = list(dict.fromkeys(round(value) for value in values))
    return [Setting(key, value) for value in values]


def _row(
    over: Mapping[str, AxisSection], u: npt.NDArray[np.float64], whole: frozenset[str]
) -> tuple[Setting, ...]:
    return tuple(
        _drawn(key, axis, float(x), key in whole)
        for (key, axis), x in zip(over.items(), u, strict=True)
    )


def _drawn(key: str, axis: AxisSection, u: float, is_whole: bool) -> Setting:
    """Return the value at quantile ``u`` in [0, 1) of an axis."""
    if axis.values is not None:
        item = int(u * len(axis.values))
        return Setting(key, axis.values[item], item)
    assert axis.low is not None  # noqa: S101  (the section's own rule)
    assert axis.high is not None  # noqa: S101
    # Every whole number from low to high has its own share of the range.
    low, high = axis.low, axis.high + 1.0 if is_whole else axis.high
    value = low * math.exp(u * math.log(high / low)) if axis.scale == "log" else (
        low + u * (high - low)
    )  # fmt: skip
    return Setting(key, min(math.floor(value), int(axis.high)) if is_whole else value)
