"""Worlds for the inference from the note's numbers: parameters, hypotheses, sizes, a store.

A parameter is a factor on the start's value, or a shift on the logit scale where it is a
share: value = start exp(sd x), logit value = logit start + sd x, with x standard normal before
anything is seen. Four more are the logarithms of how often each mechanism brings a group before a
user; how that is divided among the mechanism's sources is given, and labels a join without
changing it. The start is a config; what it does not name is the same in every world.

Four hypotheses: both kinds of planted groups are there, no gateways, no look-alikes, neither.
What is not there is an ordinary group.

A smaller world has the same shape: planted groups and the note's "top 100" shrink with the
groups; thresholds that count strikes or joiners shrink with the members per group.

Each world's draw and numbers are one line of a file, under a digest of everything that made
them: what is there is not computed again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from note_numbers import values_of

from gateway import analyses
from gateway.config import Config, config_to_toml, parse_config
from gateway.config.schema import NoteSection
from gateway.detect import detect_spikes
from gateway.errors import GatewayError
from gateway.finding import scorer_of
from gateway.pipeline import obtain_inputs
from gateway.provenance import MODEL_VERSION
from gateway.score import score_joins
from gateway.simulate.sources import Mechanism
from gateway.world import World

__all__ = ["HYPOTHESES", "PARAMETERS", "Draw", "Parameter", "Size", "Store", "config_at",
           "evaluate", "found_record", "numbers_of"]  # fmt: skip

Float64 = npt.NDArray[np.float64]

GATEWAYS = ("world.roles.influence", "world.roles.recommender", "world.roles.inviter")
LOOK_ALIKES = ("world.roles.homophily", "world.roles.hub", "world.roles.fellow_traveller")
HYPOTHESES: dict[str, tuple[str, ...]] = {
    "all": (),
    "no gateways": GATEWAYS,
    "no look-alikes": LOOK_ALIKES,
    "neither": (*GATEWAYS, *LOOK_ALIKES),
}


class Parameter(NamedTuple):
    """What is inferred: keys that move together, and the deviation of x = 1."""

    keys: tuple[str, ...]
    sd: float
    scale: str = "log"
    whole: bool = False

    @property
    def name(self) -> str:
        """The first key without its section's."""
        return self.keys[0].removeprefix("world.").removeprefix("moderation.")


LOOKS_SD = 0.3
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(("world.harm_interest",), 0.35),
    Parameter(("world.harm_concentration",), 0.5),
    Parameter(("world.roles.targets",), 0.25, whole=True),
    Parameter(("world.roles.target_mix",), 0.5, "logit"),
    Parameter(("world.roles.role_size",), 0.5),
    Parameter(GATEWAYS, 0.4, whole=True),
    Parameter(("world.roles.influence_strength",), 0.4),
    Parameter(("world.roles.homophily",), 0.4, whole=True),
    Parameter(("world.roles.homophily_mix",), 0.5, "logit"),
    Parameter(("world.joins_per_user",), 0.15),
    Parameter(("world.invite_chance",), 0.5, "logit"),
    Parameter(("world.invite_sigma",), 0.25),
    Parameter(("world.invite_tail",), 0.2),
    Parameter(("world.strikes_per_member",), 0.4),
    Parameter(("moderation.non_rec_strikes",), 0.5, whole=True),
    Parameter(("moderation.non_amp_strikes",), 0.5, whole=True),
    Parameter(("moderation.demote_strikes",), 0.5, whole=True),
    Parameter(("moderation.review_days",), 0.5),
    Parameter(("moderation.severe_spread",), 0.6, "logit"),
    Parameter(("moderation.severe_weight",), 0.6),
    Parameter(("moderation.detection",), 0.5, "logit"),
    Parameter(("moderation.detection_spread",), 0.6, "logit"),
    Parameter(("moderation.reports",), 0.7),
    Parameter(("moderation.false_strikes",), 0.7),
    Parameter(("moderation.demotion_spread",), 0.6, "logit"),
    Parameter(("moderation.non_rec_reduction",), 0.6, "logit"),
    Parameter(("moderation.flag_chance",), 0.7, "logit"),
    Parameter(("moderation.false_flags",), 0.7, "logit"),
)
MECHANISMS = tuple(f"simulation.{m.name.lower()}" for m in Mechanism)
N_PARAMETERS = len(MECHANISMS) + len(PARAMETERS)
NAMES: tuple[str, ...] = (
    *(f"looks.{key.removeprefix('simulation.')}" for key in MECHANISMS),
    *(parameter.name for parameter in PARAMETERS),
)
_PLANTED = ("world.roles.targets", *GATEWAYS, *LOOK_ALIKES, "note.top")
_PER_GROUP = (
    "moderation.non_rec_strikes", "moderation.non_amp_strikes", "moderation.demote_strikes",
    "targets.min_strikes", "spike.min_joiners",
)  # fmt: skip


# Of the scorer in smaller worlds: half of their time goes into it.
FOLDS = 3


class Size(NamedTuple):
    """How large a world is."""

    users: int
    groups: int


class Draw(NamedTuple):
    """One world to be: its round, hypothesis, seed and point, shape (N_PARAMETERS,)."""

    round: int
    hypothesis: str
    seed: int
    x: tuple[float, ...]


def value_at(config: Config, key: str) -> float:
    """Return the value of a dotted key."""
    found: object = config
    for part in key.split("."):
        found = getattr(found, part)
    return float(found)  # type: ignore[arg-type]


def _moved(start: float, parameter: Parameter, x: float) -> float:
    if parameter.scale == "log":
        return start * math.exp(parameter.sd * x)
    z = math.log(start / (1 - start)) + parameter.sd * x
    return 1 / (1 + math.exp(-z))


def natural(config: Config, place: int, x: float) -> float:
    """Return a parameter's value at x; of a mechanism its looks over those of the start."""
    if place < len(MECHANISMS):
        return math.exp(LOOKS_SD * x)
    parameter = PARAMETERS[place - len(MECHANISMS)]
    return _moved(sum(value_at(config, key) for key in parameter.keys), parameter, x)


def mechanism_settings(config: Config, x: Float64) -> dict[str, float]:
    """Return the shares of looks, with four decimals and a sum of one."""
    looks = np.array([value_at(config, key) for key in MECHANISMS]) * np.exp(LOOKS_SD * x)
    share = [round(float(value), 4) for value in looks / looks.sum()]
    share[0] = round(1 - sum(share[1:]), 4)
    return dict(zip(MECHANISMS, share, strict=True))


def config_at(config: Config, draw: Draw, size: Size | None = None) -> Config:
    """Return the config of a draw, with the start's size or another one."""
    x = np.asarray(draw.x)
    settings: dict[str, Any] = mechanism_settings(config, x[: len(MECHANISMS)])
    for parameter, at in zip(PARAMETERS, x[len(MECHANISMS) :], strict=True):
        for key in parameter.keys:
            value = _moved(value_at(config, key), parameter, float(at))
            settings[key] = round(value) if parameter.whole else float(f"{value:.4g}")
    if size is not None:
        share = size.groups / value_at(config, "world.groups")
        members = size.users / value_at(config, "world.users") / share
        for keys, factor in ((_PLANTED, share), (_PER_GROUP, members)):
            for key in keys:
                value = settings.get(key, value_at(config, key))
                settings[key] = max(1, round(value * factor)) if value else 0
        least = config.spike.min_spiking
        settings["spike.min_joiners"] = max(settings["spike.min_joiners"], least)
        settings |= {"world.users": size.users, "world.groups": size.groups, "score.folds": FOLDS}
    settings |= dict.fromkeys(HYPOTHESES[draw.hypothesis], 0)
    settings["experiment.seed"] = draw.seed
    overrides = [f"{key}={value}" for key, value in settings.items()]
    return parse_config(config_to_toml(config), overrides=overrides)


def found_record(config: Config) -> tuple[analyses.Record, World]:
    """Return what the analyses look at, and the world; ``LogError`` for one without targets."""
    note = config.note
    if note is None:
        raise SystemExit("the config has no section [note]")
    platform = obtain_inputs(config)
    joins = analyses.until(platform.joins, note.workflow_day)
    scores = score_joins(
        joins, platform.targets,
        scorer=scorer_of(config),
        horizon=config.score.horizon, folds=config.score.folds,
        calibration=config.score.calibration, seed=config.experiment.seed,
    )  # fmt: skip
    found = detect_spikes(joins, platform.targets, scores, options=config.spike)
    if platform.history is None:
        raise SystemExit("the note's analyses need a simulated platform")
    record = analyses.record_of(
        platform.history, platform.joins, platform.targets, found,
        workflow_day=note.workflow_day, top=note.top,
    )  # fmt: skip
    return record, platform.history.world


def numbers_of(record: analyses.Record, note: NoteSection) -> dict[str, float]:
    """Return the numbers of a world by name; not R10, which takes longer than a small world."""
    table = pa.concat_tables(
        [
            analyses.join_sources(record),
            analyses.second_table(record),
            analyses.exposure_contrast(record, horizon=note.follow_days),
            analyses.invited_members(record),
            analyses.pymi_holdout(record, margin=note.equivalence_margin),
            analyses.pymk_arms(record, margin=note.equivalence_margin),
            analyses.labelled_gateways(record),
            analyses.signal_correlations(record),
        ]
    )
    rows = table.to_pylist()
    return values_of({f"{row['id']} {row['quantity']}": row["simulated"] for row in rows})


def evaluate(config: Config) -> dict[str, float]:
    """Return a world's numbers by name; none of a world without targets or ranked groups."""
    try:
        record, _ = found_record(config)
    except GatewayError:
        return {}
    assert config.note is not None  # noqa: S101  (found_record has looked)
    return numbers_of(record, config.note)


def _computed(task: tuple[str, str]) -> tuple[str, dict[str, float], float]:
    key, text = task
    begun = time.process_time()
    values = evaluate(parse_config(text))
    return key, values, time.process_time() - begun


class Store:
    """Worlds in a file of lines, each under the digest of its config and the model's version.

    Parameters
    ----------
    path
        The file; made where it is missing. A torn last line is left out and computed again.
    config
        The start.
    size
        Of the worlds; None for the start's.
    """

    def __init__(self, path: Path, config: Config, size: Size | None) -> None:
        self.path, self.config, self.size = path, config, size
        self.known: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                self.known[entry["key"]] = entry

    def compute(self, draws: Sequence[Draw], *, workers: int = 1) -> list[dict[str, Any]]:
        """Return an entry per draw, those that are missing computed and stored first."""
        texts = [config_to_toml(config_at(self.config, d, self.size)) for d in draws]
        keys = [sha256(f"{MODEL_VERSION}\n{text}".encode()).hexdigest()[:16] for text in texts]
        made = dict(zip(keys, draws, strict=True))
        missing = [(key, text) for key, text in zip(keys, texts, strict=True)
                   if key not in self.known]  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            for key, values, seconds in _each(missing, workers):
                entry = {"key": key, **made[key]._asdict(), "seconds": round(seconds, 3),
                         "values": values}  # fmt: skip
                self.known[key] = json.loads(json.dumps(entry))
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
        return [self.known[key] for key in keys]


def _each(
    tasks: Sequence[tuple[str, str]], workers: int
) -> Iterator[tuple[str, dict[str, float], float]]:
    if workers == 1 or len(tasks) < 2:
        yield from map(_computed, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_computed, tasks)


def as_arrays(
    entries: Iterable[dict[str, Any]], names: Sequence[str]
) -> tuple[Float64, npt.NDArray[np.bool_], Float64]:
    """Return points, which of gateways and look-alikes are there, and the named numbers.

    Worlds without any number are left out. Shapes (n, N_PARAMETERS), (n, 2), (n, n_names).
    """
    kept = [entry for entry in entries if entry["values"]]
    there = [
        [not set(group) & set(HYPOTHESES[e["hypothesis"]]) for group in (GATEWAYS, LOOK_ALIKES)]
        for e in kept
    ]
    values = [[e["values"][name] for name in names] for e in kept]
    return (
        np.array([e["x"] for e in kept], np.float64).reshape(len(kept), N_PARAMETERS),
        np.array(there, np.bool_).reshape(len(kept), 2),
        np.array(values, np.float64).reshape(len(kept), len(names)),
    )
