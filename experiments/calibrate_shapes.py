"""Fit a platform's parameters to published shapes of real join logs, and show how well they do.

Two configs, ``configs/calibrated_meetup.toml`` and ``configs/calibrated_youtube.toml``,
are fitted to the numbers of ``results/reference/shapes/published.csv``. What is fitted
agrees because it was fitted: the table says that the model *can* have these shapes, and
nothing about how the real platforms came to theirs.

Run: python experiments/calibrate_shapes.py table [--seeds 5]
     python experiments/calibrate_shapes.py fit meetup [--rounds 4]
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from gateway.analyses.log_shape import log_shape
from gateway.config import Config
from gateway.results import load_config
from gateway.simulate import simulate
from gateway.world import draw_world

ROOT = Path(__file__).parents[1]
SHAPES = ROOT / "results" / "reference" / "shapes"
SEEDS_OF_FIT = (1, 2)

# What a simulated statistic may differ by, (absolute, relative): about twice the spread
# over seeds, or what a reader would call the same. Extremes of a heavy tail spread by a third.
SHARE, LEVEL, EXTREME = (0.02, 0.0), (0.0, 0.10), (0.0, 0.50)
ALLOWED: dict[str, tuple[float, float]] = {
    "n_joins": LEVEL, "n_users": LEVEL, "n_groups": LEVEL,
    "joins_mean": (0.0, 0.05), "joins_median": (0.0, 0.0), "joins_p90": (0.0, 0.0),
    "joins_max": EXTREME, "one_join": SHARE,
    **{f"another_{k}": SHARE for k in range(1, 6)},
    "size_mean": LEVEL, "size_median": LEVEL, "size_max": EXTREME,
    "size_mu": (0.1, 0.0), "size_sigma": (0.0, 0.05), "gini": SHARE, "rank_slope": LEVEL,
    "tail_exponent": LEVEL, "same_category": SHARE, "chance": SHARE,
    "gap_median": LEVEL, "gap_mean": LEVEL, "gap_p90": LEVEL,
}  # fmt: skip
# Not asked of the fit: they follow from the others, or are too rough to follow.
UNFITTED = ("n_joins", "joins_median", "joins_p90", "size_mean", "tail_from")
# These depend on how large the platform is.
EXTREMES = ("joins_max", "size_max")
ROLES = ("targets", "influence", "homophily", "hub")


RECOMMENDATION = "simulation.recommendation"
# Share of looks that are recommendations or intent, in both configs.
FOUND = 0.72


LABELS = {
    "n_joins": "joins", "n_users": "users with a join", "n_groups": "groups with a member",
    "joins_mean": "joins per user: mean", "joins_median": "median", "joins_p90": "p90",
    "joins_max": "largest", "one_join": "share with exactly one join",
    "another_1": "P(another join given k), k = 1",
    **{f"another_{k}": f"k = {k}" for k in range(2, 6)},
    "size_mean": "group size: mean", "size_median": "median", "size_max": "largest",
    "size_mu": "log of size: mean", "size_sigma": "standard deviation", "gini": "Gini",
    "rank_slope": "rank-size slope", "tail_exponent": "tail exponent, from 172 and from 48",
    "same_category": "P(next join in the same category)", "chance": "the same by chance",
    "gap_median": "days between joins: median", "gap_mean": "mean", "gap_p90": "p90",
}  # fmt: skip


@dataclass(frozen=True)
class Knob:
    """A parameter that is fitted: its key and range; positive, searched by its logarithm."""

    key: str
    low: float
    high: float
    whole: bool = False

    def write(self, log_value: float) -> list[str]:
        """Return the overrides that set the parameter."""
        value = math.exp(log_value)
        text = f"{round(value)}" if self.whole else f"{value:.3g}"
        if self.key == RECOMMENDATION:  # What is not recommended is found by intent.
            return [f"{self.key}={text}", f"simulation.intent={FOUND - float(text):.4g}"]
        return [f"{self.key}={text}"]


MEETUP = (
    Knob("world.users", 2e4, 6e4, whole=True),
    Knob("world.groups", 602, 2_000, whole=True),
    Knob("world.activity_exponent", 1.0, 3.0),
    Knob("world.activity_cutoff", 2.0, 100.0),
    Knob("world.arrival_days", 100, 720, whole=True),
    Knob("world.gap_shape", 0.2, 1.5),
    Knob("world.topic_skew", 0.3, 3.0),
    Knob("world.interest_concentration", 0.05, 10.0),
    Knob("world.appeal_sigma", 0.5, 3.9),
    Knob("world.appeal_limit", 2.0, 1e4),
    Knob(RECOMMENDATION, 0.02, 0.6),
)
YOUTUBE = (
    Knob("world.users", 1e5, 2e6, whole=True),
    Knob("world.groups", 30_087, 2e5, whole=True),
    Knob("world.joins_per_user", 0.1, 3.0),
    Knob("world.activity_sigma", 1.0, 3.0),
    Knob("world.appeal_sigma", 0.3, 3.0),
    Knob("world.appeal_tail", 0.4, 6.0),
    Knob(RECOMMENDATION, 0.02, 0.6),
)
KNOBS = {"meetup": MEETUP, "youtube": YOUTUBE}


def published(log: str) -> dict[str, float]:
    """Return the published statistics of a log."""
    with (SHAPES / "published.csv").open(encoding="utf-8", newline="") as stream:
        return {row["statistic"]: float(row[log]) for row in csv.DictReader(stream) if row[log]}


def config_path(log: str) -> str:
    """Return the config that is calibrated to a log."""
    return str(ROOT / "configs" / f"calibrated_{log}.toml")


def simulated(log: str, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Simulate a calibrated platform and measure its log; the tail from the published size."""
    world = draw_world(load_config(config_path(log), overrides=list(overrides)))
    tail_from = int(published(log)["tail_from"])
    return log_shape(simulate(world), world.groups.topic, tail_from=tail_from).to_dict()


def misfit(got: float, expected: float, allowed: tuple[float, float]) -> float:
    """Return the difference in units of what is allowed; counts are allowed half a unit."""
    absolute, relative = allowed
    return (got - expected) / (absolute + relative * abs(expected) or 0.5)


def misfits(log: str, shape: Mapping[str, float], *, scale: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the misfit of every statistic that is fitted, on a platform of ``scale`` the size."""
    expected = published(log)
    expected |= {name: scale * expected[name] for name in ("n_users", "n_groups")}
    skipped = UNFITTED + (EXTREMES if scale < 1 else ())
    names = [name for name in expected if name in ALLOWED and name not in skipped]
    return np.array([misfit(shape[name], expected[name], ALLOWED[name]) for name in names])


def fit(log: str, *, rounds: int, scale: float) -> None:
    """Print the parameters of least squared misfit, by Gauss-Newton steps from the config.

    Each evaluation is the mean over seeds, the same ones each time, so that differences
    between parameters are not drowned in noise; slopes are taken over steps of 6 %.
    """
    knobs, config = KNOBS[log], load_config(config_path(log))
    start = np.log([at_key(config, knob.key) for knob in knobs])
    low, high = (np.log([getattr(knob, end) for knob in knobs]) for end in ("low", "high"))

    def evaluate(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        settings = [text for knob, at in zip(knobs, x, strict=True) for text in knob.write(at)]
        small = smaller(config, settings, scale=scale)
        runs = [simulated(log, [*settings, *small, f"experiment.seed={s}"]) for s in SEEDS_OF_FIT]
        found = np.mean([misfits(log, run, scale=scale) for run in runs], axis=0)
        found = np.nan_to_num(np.clip(found, -20, 20), nan=20.0)
        print(f"{found @ found:9.2f}  {'  '.join(settings)}", flush=True)
        return found

    least_squares(
        evaluate, np.clip(start, low + 1e-9, high - 1e-9), bounds=(low, high),
        diff_step=0.06 / np.maximum(np.abs(start), 0.05), max_nfev=rounds,
    )  # fmt: skip


def at_key(config: Config, key: str) -> float:
    """Return the value of a dotted key."""
    section, name = key.split(".")
    return float(getattr(getattr(config, section), name))


def smaller(config: Config, settings: Sequence[str], *, scale: float) -> list[str]:
    """Return overrides that shrink users, groups and planted groups alike."""
    if scale == 1.0 or config.world is None:
        return []
    sizes = dict(text.split("=") for text in settings)
    wanted = {f"world.{name}": sizes.get(f"world.{name}") for name in ("users", "groups")}
    wanted |= {f"world.roles.{role}": getattr(config.world.roles, role) for role in ROLES}
    return [f"{key}={max(1, round(float(value) * scale))}" for key, value in wanted.items()]


def compare(log: str, seeds: Sequence[int]) -> list[dict[str, str]]:
    """Return one row per published statistic: published, simulated, spread and verdict."""
    runs = [simulated(log, [f"experiment.seed={seed}"]) for seed in seeds]
    rows = []
    for name, expected in published(log).items():
        if name not in ALLOWED:
            continue
        values = np.array([run[name] for run in runs])
        off = misfit(float(values.mean()), expected, ALLOWED[name])
        rows.append(
            {
                "log": log, "statistic": name, "published": f"{expected:.6g}",
                "simulated": f"{values.mean():.5g}", "sd": f"{values.std(ddof=1):.2g}",
                "ratio": f"{values.mean() / expected:.3f}", "allowed": say(ALLOWED[name]),
                "verdict": "agrees" if abs(off) <= 1 else "differs",
            }
        )  # fmt: skip
    return rows


def say(allowed: tuple[float, float]) -> str:
    """Return a tolerance in words."""
    absolute, relative = allowed
    if relative:
        return f"{100 * relative:.0f} %"
    return f"{absolute:g}" if absolute else "half a unit"


def table(seeds: int) -> None:
    """Compare both platforms with their logs, store the rows and print them as Markdown."""
    rows = [row for log in KNOBS for row in compare(log, range(1, seeds + 1))]
    with (SHAPES / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(as_markdown(rows))


def as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the table with one line per statistic and the logs side by side."""
    found = {(row["log"], row["statistic"]): row for row in rows}
    lines = ["| | Meetup | simulated | | YouTube | simulated | | allowed |", "|---" * 8 + "|"]
    for name, label in LABELS.items():
        row = [found.get((log, name)) for log in KNOBS]
        cells = [cell for one in row for cell in (in_words(one) if one else ["–", "–", ""])]
        allowed = next(one["allowed"] for one in row if one)
        lines.append(f"| {label} | {' | '.join(cells)} | {allowed} |".replace("| -", "| −"))
    return "\n".join(lines)


def in_words(row: Mapping[str, str]) -> list[str]:
    """Return published, simulated with its spread, and how they compare."""
    expected, got, sd = (float(row[key]) for key in ("published", "simulated", "sd"))
    level = f"{got:,.0f} ± {sd:,.0f}" if abs(got) >= 100 else f"{got:.3g} ± {sd:.2g}"
    is_ratio = ALLOWED[row["statistic"]][0] == 0
    off = f"× {got / expected:.2f}" if is_ratio else f"{round(got - expected, 3) + 0.0:+.3f}"
    return [f"{expected:,g}", level, off + (" **differs**" if row["verdict"] == "differs" else "")]


def main() -> None:
    """Fit, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit")
    fitting.add_argument("log", choices=list(KNOBS))
    fitting.add_argument("--rounds", type=int, default=4)
    fitting.add_argument("--scale", type=float, default=1.0, help="fit a smaller platform")
    commands.add_parser("table").add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.command == "table":
        table(options.seeds)
        return
    fit(options.log, rounds=options.rounds, scale=options.scale)


if __name__ == "__main__":
    main()
