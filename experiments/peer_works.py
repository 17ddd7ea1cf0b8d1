"""The works that peers and we do side by side: their input, who does them, how answers agree.

Every input is drawn here once, from a seed, and given to all as the same file of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments import peer_rows as rows_
from experiments.peer_rows import Answer, Arrays
from experiments.synthetic import draw_log, log_of, targets_of
from gateway.results import load_config
from gateway.score import LogisticScorer, PrefixLoss, build_prefixes
from gateway.targets import TargetSet
from gateway.world import draw_world

__all__ = ["WORKS", "Peer", "Work"]

Agree = Callable[[Arrays, Answer, Answer], str]

PENALTY = 100.0
THRESHOLD, BASE = 0.05, 0.02


@dataclass(frozen=True)
class Peer:
    """Who does a work: name shown, environment, script, the work's name there."""

    label: str
    environment: str
    script: str
    work: str


@dataclass(frozen=True)
class Work:
    """One work.

    Parameters
    ----------
    label
        What is done.
    draw
        Takes a scale (1 is full size) and gives the input.
    size
        Says the size of an input in words.
    ours
        Name of the work in ``peers/ours.py``.
    peers
        Who else does it.
    agree
        Says how two answers agree: input, ours, theirs.
    small
        Scale of the input on which all do the work before anything is measured.
    """

    label: str
    draw: Callable[[float], Arrays]
    size: Callable[[Arrays], str]
    ours: str
    peers: tuple[Peer, ...]
    agree: Agree
    small: float = 0.02


def _plain_log(users: int, groups: int, joins: int) -> tuple[Arrays, TargetSet]:
    """A log without ties: a user's n-th join is at tick n."""
    offsets, group, _ = draw_log(users, groups, joins)
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(users), np.diff(offsets))
    group = group[np.lexsort((rng.random(len(group)), user))]
    time = (np.arange(len(group)) - offsets[user]).astype(np.int32)
    targets = targets_of(groups)
    log = {"log_offsets": offsets, "log_group": group, "log_time": time,
           "n_groups": np.array(groups), "is_target": targets.mask}  # fmt: skip
    return log, targets


def _log_size(given: Arrays) -> str:
    joins, groups = len(given["log_group"]), int(given["n_groups"])
    return f"{joins:,} joins, {groups:,} groups"


def _columns(given: Arrays) -> Any:
    return (given[name] for name in ("log_offsets", "log_group", "log_time"))


def _spike_input(scale: float) -> Arrays:
    joins = int(10_000_000 * scale)
    given, targets = _plain_log(joins // 10, 5_000, joins)
    rows = build_prefixes(log_of(*_columns(given), groups=5_000), targets)
    after = 0.1 * np.random.default_rng(4).random(len(rows.group))
    return given | {"user": rows.user(), "group": rows.group, "after": after,
                    "base": np.array(BASE), "threshold": np.array(THRESHOLD)}  # fmt: skip


def _largest(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> str:
    return f"largest difference {np.abs(ours - theirs).max():.1e}"


def _same_spikes(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    same = all(np.array_equal(ours[n], theirs[n]) for n in ("group", "joiners", "spikes"))
    counts = "counts equal" if same else "COUNTS DIFFER"
    return f"{counts}; mean jump: {_largest(ours['mean'], theirs['mean'])}"


def _training_input(scale: float) -> Arrays:
    joins = int(2_500_000 * scale)
    given, targets = _plain_log(joins // 14, 4_000, joins)
    rows = build_prefixes(log_of(*_columns(given), groups=4_000), targets)
    everybody = np.ones(rows.n_users, bool)
    model = LogisticScorer(penalty=PENALTY, tolerance=1e-3, keep=None, covariates=False).fit(
        rows, everybody
    )
    return given | {"offsets": rows.offsets, "group": rows.group, "trains": rows.trains,
                    "label": rows.label, "penalty": np.array(PENALTY),
                    "weights": model.weights, "intercept": np.array(model.intercept)}  # fmt: skip


def _training_size(given: Arrays) -> str:
    counts = np.diff(given["offsets"])
    return f"{counts.sum():,} prefixes, {(counts * (counts + 1) // 2).sum():,} non-zeros"


def _same_loss(given: Arrays, ours: Answer, theirs: Answer) -> str:
    log = log_of(*_columns(given), groups=int(given["n_groups"]))
    rows = build_prefixes(log, TargetSet(given["is_target"], "given"))
    loss = PrefixLoss(rows, np.ones(rows.n_users, bool), penalty=float(given["penalty"]))
    a, b = (loss(answer["weights"], float(answer["intercept"]))[0] for answer in (ours, theirs))
    counts = f"{int(ours['evaluations'])} evaluations, theirs {int(theirs['evaluations'])} steps"
    return f"loss: relative difference {a / b - 1:+.1e}; {counts}"


def _same_logits(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    return _largest(ours["logit"], theirs["logit"])


def _removal_input(scale: float) -> Arrays:
    """Users who join something before a target; a path of no group has no name elsewhere."""
    given, targets = _plain_log(int(20_000 * scale), 100, int(160_000 * scale))
    rows = build_prefixes(log_of(*_columns(given), groups=100), targets)
    keep = np.diff(rows.offsets) > 0
    user = np.repeat(np.arange(len(keep)), np.diff(given["log_offsets"]))
    kept = keep[user]
    counts = np.bincount(user[kept], minlength=len(keep))[keep]
    given["log_offsets"] = np.concatenate([[0], np.cumsum(counts)])
    given |= {name: given[name][kept] for name in ("log_group", "log_time")}
    rows = build_prefixes(log_of(*_columns(given), groups=100), targets)
    last = rows.offsets[1:] - 1
    return given | {"offsets": rows.offsets, "group": rows.group,
                    "converts": rows.label[last] == 1}  # fmt: skip


def _same_effects(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    a, b = ours["effect"][theirs["group"]], theirs["effect"]
    together = np.corrcoef(a, b)[0, 1]
    return f"{_largest(a, b)}, the largest effect is {a.max():.3f}; correlation {together:.4f}"


def _survival_input(scale: float) -> Arrays:
    users = int(100_000 * scale)
    offsets, group, time = draw_log(users, 1_000, users * 10)
    log, targets = log_of(offsets, group, time, groups=1_000), targets_of(1_000)
    rows = build_prefixes(log, targets)
    has_row = np.diff(rows.offsets) > 0
    is_target = targets.mask[group]
    leave = np.full(users, log.time.max() + 1, np.int64)
    np.minimum.at(leave, log.user()[is_target], time[is_target].astype(np.int64))
    event, leave = leave <= log.observed_until, np.minimum(leave, log.observed_until)
    entry = np.zeros(users, np.int64)
    entry[has_row] = time[offsets[:-1][has_row]]
    stays = has_row[rows.user()] & (rows.time < leave[rows.user()])
    place = np.cumsum(has_row) - 1
    return {
        "log_offsets": offsets, "log_group": group, "log_time": time,
        "n_groups": np.array(1_000), "is_target": targets.mask,
        "user": place[rows.user()[stays]], "group": rows.group[stays], "joined": rows.time[stays],
        "entry": entry[has_row], "leave": leave[has_row], "event": event[has_row],
        "some": np.argsort(-log.sizes() * ~targets.mask)[:3],
    }  # fmt: skip


def _same_ratios(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    both = np.isfinite(ours["estimate"]) & np.isfinite(theirs["estimate"])
    return f"O/E: {_largest(ours['estimate'][both], theirs['estimate'][both])}"


def _near_ratios(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    a, b = ours["hazard_ratio"][theirs["group"]], theirs["hazard_ratio"]
    return f"another estimator of the same ratio: relative difference {np.abs(a / b - 1).max():.1e}"


def _friends_input(scale: float) -> Arrays:
    users = int(500_000 * scale)
    overrides = [f"world.users={users}", "world.friend_homophily=0.0", "world.friend_country=0.0",
                 "world.friend_clustering=0.0"]  # fmt: skip
    section = load_config("configs/quickstart.toml", overrides=overrides).world
    # Expected degrees of the same law: Pareto, cut off at 25 times the mean.
    shape, high = section.friend_tail - 1, 25 * section.mean_friends
    share = np.random.default_rng(5).random(users)
    weight = (1 - share * (1 - (0.5 * section.mean_friends / high) ** shape)) ** (-1 / shape)
    weight *= section.mean_friends / weight.mean()
    return {"overrides": np.array(overrides), "weight": weight}


def _friends_size(given: Arrays) -> str:
    return f"{len(given['weight']):,} users, {given['weight'].sum() / 2:,.0f} friendships"


def _alike_degrees(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    a, b = (answer["degree"].astype(float) for answer in (ours, theirs))
    spread = (b.std() / b.mean()) / (a.std() / a.mean()) - 1
    return f"drawn, not equal: mean degree {b.mean() / a.mean() - 1:+.1%}, its spread {spread:+.1%}"


# One country, groups found by search alone, no confirmation, no labels, nobody's taste changes.
SEARCH_ALONE = (
    "world.countries={ US = 1.0 }", "world.home_bias=0.0", "world.mean_friends=0.0",
    "world.roles.influence=0", "world.roles.homophily=0", "world.roles.hub=0",
    "world.roles.targets=2", "simulation.intent=1.0", "simulation.recommendation=0.0",
    "simulation.friends=0.0", "simulation.invitation=0.0", "simulation.confirmation=false",
    "moderation.acts=false", "world.invite_chance=0.0",
)  # fmt: skip


def _sized(scale: float) -> tuple[str, str]:
    return f"world.users={int(100_000 * scale)}", f"world.groups={max(500, int(10_000 * scale))}"


def _search_input(scale: float) -> Arrays:
    overrides = [*SEARCH_ALONE, *_sized(scale)]
    world = draw_world(load_config("configs/quickstart.toml", overrides=overrides))
    users, groups = world.users, world.groups
    user = np.repeat(np.arange(len(users)), users.occasions)
    span = (users.departure - users.arrival)[user]
    share = np.random.default_rng(6).random(len(user))
    day = users.arrival[user] + (share * span).astype(np.int64)
    order = np.argsort(day, kind="stable")
    topics = users.interest.shape[1]
    return {
        "overrides": np.array(overrides), "interest": users.interest.astype(float),
        "pull": groups.mix[:, :topics] * groups.appeal[:, None], "created": groups.created,
        "user": user[order], "day": day[order], "days": np.array(world.days),
        "attempts": np.array(world.config.simulation.attempts),
    }  # fmt: skip


def _search_size(given: Arrays) -> str:
    users, groups = len(given["interest"]), len(given["created"])
    return f"{users:,} users, {groups:,} groups, {len(given['user']):,} occasions"


def _alike_sizes(_given: Arrays, ours: Answer, theirs: Answer) -> str:
    joins = f"joins {int(theirs['joins']) / int(ours['joins']) - 1:+.1%}"
    if "sizes" not in theirs:
        return f"another law; {joins}"
    together = np.corrcoef(ours["sizes"], theirs["sizes"])[0, 1]
    return f"drawn, not equal: {joins}, correlation of group sizes {together:.4f}"


def _small_search_input(scale: float) -> Arrays:
    """T-RECS holds users x groups several times over and goes through all of it at every step."""
    return _search_input(scale / 20)


def _hazard_input(scale: float) -> Arrays:
    return _survival_input(scale / 10)


def _everything_input(scale: float) -> Arrays:
    given = _search_input(scale)
    return given | {"overrides": np.array(_sized(scale))}


_MESA = (
    Peer("Mesa, `shuffle_do`", "mesa", "mesa_joins.py", "agents"),
    Peer("Mesa, arrays", "mesa", "mesa_joins.py", "arrays"),
)
_STARSIM = Peer("Starsim, arrays", "starsim", "starsim_joins.py", "arrays")
_OTHERS = (
    Peer("T-RECS", "trecs", "trecs_joins.py", "popular"),
    Peer("OASIS, no language model", "oasis", "oasis_joins.py", "platform"),
)
_LIFELINES = "lifelines_hazard.py"
_STATSMODELS = tuple(
    Peer(f"statsmodels, {label}", "statsmodels", "statsmodels_conditional.py", label.lower())
    for label in ("logit", "Poisson")
)

WORKS: Mapping[str, Work] = {
    "simulate": Work("simulate joins, search alone", _search_input, _search_size, "simulation",
                     (*_MESA, _STARSIM), _alike_sizes),
    "simulate-small": Work("the same, small", _small_search_input, _search_size, "simulation",
                           (*_MESA, _STARSIM, *_OTHERS), _alike_sizes),
    "simulate-all": Work("simulate joins; ours with everything on, theirs search alone",
                         _everything_input, _search_size, "simulation", _MESA[1:], _alike_sizes),
    "spike": Work("spikes and sums by group, given scores", _spike_input, _log_size, "spike",
                  tuple(Peer(label, "frames", "frames.py", label.lower())
                        for label in ("pandas", "polars", "DuckDB")), _same_spikes),
    "train": Work("train on all prefixes", _training_input, _training_size, "fit",
                  (Peer("scikit-learn, fit alone", "scikit-learn", "sklearn_training.py", "fit"),
                   Peer("scikit-learn, with expansion", "scikit-learn", "sklearn_training.py",
                        "fit with expansion")), _same_loss),
    "score": Work("score all prefixes", _training_input, _training_size, "score",
                  (Peer("scikit-learn, on the matrix", "scikit-learn", "sklearn_training.py",
                        "score"),), _same_logits),
    "removal": Work("Markov removal effects", _removal_input, _log_size, "removal",
                    (Peer("ChannelAttribution", "channelattribution", "channel_removal.py",
                          "removal"),), _same_effects),
    "survival": Work("observed over expected, all groups", _survival_input, _log_size, "survival",
                     (Peer("lifelines, Nelson-Aalen", "lifelines", _LIFELINES, "nelson-aalen"),),
                     _same_ratios),
    "hazard": Work("hazard ratios: ours of all groups, theirs of three", _hazard_input,
                   _log_size, "survival",
                   (Peer("lifelines, Cox", "lifelines", _LIFELINES, "cox"),), _near_ratios,
                   small=0.2),
    "conditional": Work("conditional likelihood, calendar's clock, no penalty",
                        rows_.conditional_input, rows_.conditional_size, "conditional",
                        (_STATSMODELS[1], _STATSMODELS[0]), rows_.same_beta, small=0.1),
    "operational": Work("conditional likelihood, clock of joins, no penalty",
                        rows_.operational_input, rows_.conditional_size, "conditional",
                        (Peer("R survival, `clogit` exact", "", "clogit.py", "exact"),
                         Peer("R survival, `clogit` Efron", "", "clogit.py", "efron"),
                         _STATSMODELS[0]), rows_.same_beta, small=0.25),
    "lists": Work("the twenty nearest groups of every group", rows_.lists_input, _log_size,
                  "lists",
                  (Peer("implicit, cosine", "implicit", "recommended_lists.py", "cosine"),
                   Peer("LightFM, WARP", "lightfm", "recommended_lists.py", "warp")),
                  rows_.same_lists),
    "convert": Work("a Parquet log to one numbered and sorted by user, 1 GiB allowed",
                    rows_.convert_input, rows_.convert_size, "convert",
                    (Peer("DuckDB", "frames", "frames.py", "convert"),), rows_.same_log,
                    small=0.1),
    "friends": Work("draw a simple graph of given expected degrees", _friends_input, _friends_size,
                    "friends",
                    tuple(Peer(label, label.lower(), "friend_graphs.py", label.lower())
                          for label in ("networkx", "igraph", "SciPy")), _alike_degrees),
}  # fmt: skip
