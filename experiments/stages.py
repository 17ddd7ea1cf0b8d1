"""The stages of the work, each ready to be timed alone: what `scaling.py` measures.

A stage is prepared for a size and gives a call that does its work and nothing else. Sizes
are users, groups and (about) joins; a simulated stage takes its joins from the number of
users. Beside each stage stands what it cannot do without: the bytes that it must read and
write for each row, those of them on new pages, the cells of tables of the size of the number
of groups or of users that it must visit, and the bytes that its method moves for each group.
What it takes beyond the time for those is its distance to the machine's limits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.synthetic import draw_log, log_of, targets_of
from gateway.detect import detect, detect_spikes
from gateway.detect.self_controlled.fit import fit_joint
from gateway.detect.self_controlled.likelihood import Likelihood, Point
from gateway.detect.self_controlled.slots import Slots, build_slots
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.results import load_config
from gateway.score import (
    LogisticModel,
    LogisticScorer,
    Logits,
    Prefixes,
    PrefixLoss,
    Scores,
    score_joins,
)
from gateway.score import build_prefixes as layout
from gateway.score.logistic import KEEP, fill_linear
from gateway.score.prefix_loss import Form
from gateway.simulate import live_through, measure_direct_effects, simulate
from gateway.targets import named_targets
from gateway.world import Role, World, draw_world

__all__ = ["STAGES", "Needs", "Prepared", "Size", "Stage", "convert_size", "draw_to"]

PENALTY = 100.0
OCCASIONS = 18.0
DISK_MEMORY = 8 << 30  # what work on a log that stays on disk may take
FIRST_DAY = 18_262  # 2020-01-01, in days since 1970


class Size(NamedTuple):
    """What is measured: how many of each, and the folder with the log drawn for it."""

    users: int
    groups: int
    joins: int
    folder: Path


class Prepared(NamedTuple):
    """Work to be timed; once it is done, the rows that it went over and how often it did so."""

    work: Callable[[], object]
    rows: Callable[[], int]
    evaluations: Callable[[], int] = lambda: 1


@dataclass(frozen=True)
class Needs:
    """What an evaluation of a stage cannot do without.

    Parameters
    ----------
    bytes
        Read and written for each row.
    new
        Bytes of those that are written to pages nobody has touched: results that stay.
    visits, user_visits
        Cells of tables with one for each group, or user, for each row.
    group_bytes
        Read and written for each group.
    """

    bytes: float
    new: float = 0.0
    visits: float = 0.0
    user_visits: float = 0.0
    group_bytes: float = 0.0

    def seconds(self, row: Mapping[str, Any]) -> float:
        """Return the seconds that these take for a measured row, at the limits beside it."""
        rates = {
            "bytes": row["bandwidth_gb"] * 1e9, "new": row["pages_gb"] * 1e9,
            "visits": row["reads_m"] * 1e6, "user_visits": row["user_reads_m"] * 1e6,
        }  # fmt: skip
        each = sum(getattr(self, name) / rate for name, rate in rates.items())
        return row["rows"] * each + row["groups"] * self.group_bytes / rates["bytes"]

    def __str__(self) -> str:
        words = [f"{self.bytes:.0f} B"]
        words += [f"{self.new:.0f} B new"] if self.new else []
        words += [f"{self.visits:.0f} by group"] if self.visits else []
        words += [f"{self.user_visits:.0f} by user"] if self.user_visits else []
        words += [f"{self.group_bytes:.0f} B a group"] if self.group_bytes else []
        return " + ".join(words)


@dataclass(frozen=True)
class Stage:
    """A stage.

    Parameters
    ----------
    prepare
        Gives the work for a size.
    simulated
        Whether it needs a simulated world instead of a log drawn at random.
    joins_only
        Whether to measure it over the number of joins alone.
    needs
        What it needs at least for each evaluation; None if not stated.
    """

    prepare: Callable[[Size], Prepared]
    simulated: bool = False
    joins_only: bool = False
    needs: Needs | None = None


def draw_to(size: Size) -> None:
    """Draw the log of a size into its folder."""
    arrays = draw_log(size.users, size.groups, size.joins)
    size.folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(("offsets", "group", "time"), arrays, strict=True):
        np.save(size.folder / f"{name}.npy", array)


def _log(size: Size) -> JoinLog:
    arrays = (np.load(size.folder / f"{name}.npy") for name in ("offsets", "group", "time"))
    return log_of(*arrays, groups=size.groups)


def _prefixes(size: Size) -> Prefixes:
    return layout(_log(size), targets_of(size.groups))


def _everybody(rows: Prefixes) -> npt.NDArray[np.bool_]:
    return np.ones(rows.n_users, bool)


def _prefix_layout(size: Size) -> Prepared:
    log, targets = _log(size), targets_of(size.groups)
    return Prepared(lambda: layout(log, targets), lambda: log.n_joins)


def _training_evaluation(size: Size) -> Prepared:
    rows = _prefixes(size)
    form = Form.learn(rows, _everybody(rows), keep=KEEP)
    loss = PrefixLoss(rows, _everybody(rows), penalty=PENALTY, form=form)
    w = np.random.default_rng(2).normal(0.0, 0.1, size.groups)
    return Prepared(lambda: loss(w, -3.0), lambda: len(rows.group))


def _training_fit(size: Size) -> Prepared:
    """One fit to all users, as in a fold."""
    rows = _prefixes(size)
    scorer, found = LogisticScorer(penalty=PENALTY), list[LogisticModel]()

    def work() -> None:
        found.append(scorer.fit(rows, _everybody(rows)))

    return Prepared(work, lambda: len(rows.group), lambda: found[-1].evaluations)


def _cross_fit(size: Size) -> Prepared:
    """Choose the penalty, train, calibrate, score and measure, in five folds.

    Its evaluations are those of training, in passes over all rows: each counts by the rows that
    it goes over.
    """
    log, targets = _log(size), targets_of(size.groups)
    passes: list[float] = []

    def work() -> None:
        with _counted_rows() as seen:
            score_joins(log, targets)
        passes.append(sum(seen) / log.n_joins)

    return Prepared(work, lambda: log.n_joins, lambda: max(1, round(passes[-1])))


@contextmanager
def _counted_rows() -> Iterator[list[int]]:
    """Give a list of the rows of every evaluation of the loss, while the block lasts."""
    evaluate, seen = PrefixLoss.__call__, list[int]()

    def counted(loss: PrefixLoss, *given: Any) -> Any:
        seen.append(loss.n_rows)
        return evaluate(loss, *given)

    PrefixLoss.__call__ = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        PrefixLoss.__call__ = evaluate  # type: ignore[method-assign]


def _scoring(size: Size) -> Prepared:
    """Fill the three columns of probabilities."""
    rows = _prefixes(size)
    w = np.random.default_rng(2).normal(0.0, 0.1, size.groups)
    fold = np.zeros(rows.n_users, np.int8)
    form = Form.learn(rows, _everybody(rows), keep=KEEP)
    model, line = LogisticModel(w, -3.0, form=form), np.array([[1.1, 0.2]])

    def work() -> None:
        columns = Logits(*(np.empty(len(rows.group)) for _ in range(3)))
        fill_linear(rows, fold, [model], columns, lines=line)

    return Prepared(work, lambda: len(rows.group))


def _spikes(size: Size) -> Prepared:
    log = _log(size)
    targets = targets_of(size.groups)
    rows = layout(log, targets)
    rng, n = np.random.default_rng(2), len(rows.group)
    before, after, expected = (0.1 * rng.random(n) for _ in range(3))
    fold = np.zeros(rows.n_users, np.int8)
    scores = Scores(rows, before, after, expected, after, fold, (), "drawn at random")
    return Prepared(lambda: detect_spikes(log, targets, scores), lambda: n)


def _case_layout(size: Size) -> Prepared:
    log, targets = _log(size), targets_of(size.groups)
    return Prepared(lambda: _slots_of(log, targets.mask), lambda: log.n_joins)


def _slots_of(log: JoinLog, is_target: npt.NDArray[np.bool_]) -> Slots:
    return build_slots(log, is_target, ~is_target)


def _case_evaluation(size: Size) -> Prepared:
    slots = _slots_of(_log(size), targets_of(size.groups).mask)
    likelihood, nothing = Likelihood(slots), Point.zero(slots)
    beta = np.random.default_rng(2).normal(0.0, 0.1, size.groups)
    point = Point(beta, nothing.position, nothing.calendar)
    return Prepared(lambda: likelihood.loss(point), lambda: len(slots.group))


def _case_fit(size: Size) -> Prepared:
    slots = _slots_of(_log(size), targets_of(size.groups).mask)
    found: list[int] = []
    return Prepared(
        lambda: found.append(fit_joint(Likelihood(slots), penalty=PENALTY).evaluations),
        lambda: len(slots.group),
        lambda: found[-1],
    )


def _written(size: Size) -> Path:
    """Integers and dates in the order of time, as a log comes from a platform."""
    path = size.folder / "log.parquet"
    if not path.exists():
        log = _log(size)
        order = np.argsort(log.time.astype(np.int16), kind="stable")
        days = pa.array(log.time[order] + np.int32(FIRST_DAY)).cast(pa.date32())
        table = pa.table({"user": log.user()[order], "group": log.group[order], "time": days})
        pq.write_table(table, path)
    return path


def _reading(size: Size) -> Prepared:
    path = _written(size)
    return Prepared(lambda: JoinLog.read(path), lambda: pq.read_metadata(path).num_rows)


def convert_size(size: Size) -> Path:
    """Return the folder of columns of a size whose log is drawn."""
    parts = size.folder / "parts"
    return parts if parts.exists() else _to_parts(_written(size))


def _conversion(size: Size) -> Prepared:
    """To a folder of columns, in bounded memory."""
    path = _written(size)
    return Prepared(lambda: _to_parts(path), lambda: pq.read_metadata(path).num_rows)


def _to_parts(path: Path) -> Path:
    parts = path.with_name("parts")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    convert_log(path, parts, memory=DISK_MEMORY)
    return parts


def _on_disk(detector: str) -> Callable[[Size], Prepared]:
    """Return how to prepare a detector on a log that stays on disk, its scores included."""

    def prepare(size: Size) -> Prepared:
        log = JoinLog.open(convert_size(size))
        wanted = {str(g) for g in np.flatnonzero(targets_of(size.groups).mask)}
        targets = named_targets(log, sorted(wanted.intersection(log.groups.to_pylist())))
        return Prepared(lambda: detect(log, targets, detector=detector), lambda: log.n_joins)

    return prepare


def _writing(size: Size) -> Prepared:
    log = _log(size)
    return Prepared(lambda: log.to_parquet(size.folder / "written.parquet"), lambda: log.n_joins)


def _world(size: Size) -> World:
    overrides = [
        f"world.users={size.users}", f"world.groups={size.groups}",
        f"world.joins_per_user={OCCASIONS}",
    ]  # fmt: skip
    return draw_world(load_config("configs/quickstart.toml", overrides=overrides))


def _world_drawing(size: Size) -> Prepared:
    return Prepared(lambda: _world(size), lambda: size.users)


def _simulation(size: Size) -> Prepared:
    world = _world(size)
    found: list[int] = []
    return Prepared(lambda: found.append(simulate(world).n_joins), lambda: found[-1])


def _direct_effects(size: Size) -> Prepared:
    history = live_through(_world(size))
    groups = history.world.groups
    is_target = (groups.role == Role.TARGET) & (groups.topic == 0)
    found: list[int] = []

    def work() -> None:
        found.append(int(measure_direct_effects(history, is_target).n_joins.sum()))

    return Prepared(work, lambda: found[-1])


# Bytes: columns that are read or written once, whatever the method. A row has a group (4);
# its flags and outcome are bytes; a logit is 8, and so are a length and a number of events.
# Sorting rows by user and time is two passes over rows of 12 bytes, each read and written.
_SORT = 2 * 24.0
# L-BFGS keeps ten steps and ten gradients, and goes over each twice an evaluation; the joint
# fit keeps twenty. Gradients of chunks of rows are written and added up: of training two where
# groups are many, of the joint fit sixteen.
_DESCENT = 4 * 10 * 8.0
_TRAIN_ONCE = Needs(10.0, visits=2.0, group_bytes=2 * 2 * 8.0)
_TRAIN = replace(_TRAIN_ONCE, group_bytes=_TRAIN_ONCE.group_bytes + _DESCENT)
_CASES_ONCE = Needs(21.0, visits=2.0, group_bytes=2 * 16 * 8.0)
_CASES = replace(_CASES_ONCE, group_bytes=_CASES_ONCE.group_bytes + 2 * _DESCENT)
_SCORE = Needs(8.0 + 24.0, new=24.0, visits=1.0)

STAGES: Mapping[str, Stage] = {
    "draw world": Stage(_world_drawing, simulated=True),
    "simulate": Stage(_simulation, simulated=True),
    "direct effects": Stage(_direct_effects, simulated=True),
    "read": Stage(_reading, needs=Needs(20.0 + _SORT, new=8.0, visits=1.0, user_visits=1.0)),
    "write": Stage(_writing),
    "prefixes": Stage(_prefix_layout, needs=Needs(8.0 + 11.0, new=11.0)),
    "train, one evaluation": Stage(_training_evaluation, needs=_TRAIN_ONCE),
    "train": Stage(_training_fit, needs=_TRAIN),
    "cross-fit": Stage(_cross_fit, needs=_TRAIN),
    "score": Stage(_scoring, needs=_SCORE),
    "spike": Stage(_spikes, needs=Needs(29.0, visits=1.0, group_bytes=2 * 64.0)),
    "cases": Stage(_case_layout, needs=Needs(8.0, visits=1.0)),
    "self-controlled, one evaluation": Stage(_case_evaluation, needs=_CASES_ONCE),
    "self-controlled fit": Stage(_case_fit, needs=_CASES),
    "convert": Stage(
        _conversion, joins_only=True,
        needs=Needs(20.0 + 2 * _SORT, new=8.0, visits=1.0, user_visits=1.0),
    ),
    "on disk: spike": Stage(_on_disk("spike"), joins_only=True),
    "on disk: self-controlled": Stage(_on_disk("self_controlled"), joins_only=True),
}  # fmt: skip
