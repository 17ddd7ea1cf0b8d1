"""Which groups an intervention acts on, and whose total effect is measured.

Before a run it is checked that those which a config names are there, and in which file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses import judge_groups
from gateway.arrays import Float64, Int64, Mask, UInt8
from gateway.config import Config
from gateway.config.interventions import InterventionSection, OnGroupsSection
from gateway.errors import ConfigError, Problem, ResultError, did_you_mean, shown
from gateway.log import file_digest
from gateway.log.join_log import numbered_names
from gateway.results import open_result
from gateway.world.model import groups_in_roles


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the groups after the factual run."""

    names: pa.StringArray  # shape (n_groups,)
    role: UInt8  # shape (n_groups,): a ``Role``
    n_joins: Int64  # shape (n_groups,): members by the end
    gateways: pa.Table  # table of the detectors' findings
    truth: pa.Table  # table of the direct effects, a row for each group in order


def choose_groups(section: OnGroupsSection, known: Known) -> Mask:
    """Return the groups of an intervention, bool, shape (n_groups,).

    Where ``top`` cuts through equals they all come in: to take some would be to choose by
    name. A truth of zero or less is never among the top.
    """
    if section.roles is not None:
        chosen = groups_in_roles(known.role, section.roles)
        return chosen if section.top is None else largest(known.n_joins, chosen, section.top)
    if section.names is not None:
        return _named(known, section.names)
    if section.verdict is not None:
        judged = judge_groups(known.gateways)
        says = [] if judged is None else judged.filter(judged[section.verdict])["group"].to_pylist()
        return _named(known, says)
    if section.oracle is not None:
        value = _truth(known, section.oracle)
        return largest(value, value > 0, section.top or 0)
    return _named(known, _found(section, known)["group"].to_pylist())


def largest(value: npt.ArrayLike, among: Mask, count: int) -> Mask:
    """Return the ``count`` largest values of a mask, with all that equal the last of them."""
    values = np.asarray(value, np.float64)
    ordered = np.sort(values[among])[::-1]
    if count <= 0 or len(ordered) == 0:
        return np.zeros_like(among)
    return np.asarray(among & (values >= ordered[min(count, len(ordered)) - 1]))


def _named(known: Known, names: Sequence[str]) -> Mask:
    return np.asarray(pc.is_in(known.names, value_set=pa.array(names, pa.string())))


def _truth(known: Known, oracle: str) -> Float64:
    """Direct effect of each group, zero where there is none: per join, or of all its joins."""
    direct = known.truth["direct_effect"].to_numpy(zero_copy_only=False).astype(np.float64)
    effect: Float64 = np.nan_to_num(direct)
    joins = known.truth["n_joins"].to_numpy().astype(np.float64)
    return effect * joins if oracle == "caused" else effect


def _found(section: OnGroupsSection, known: Known) -> pa.Table:
    """Rows of the detector that the intervention trusts: flagged, or of the first ranks."""
    if section.from_result is not None:
        rows = earlier_findings(section)
    else:
        of_this_run = pc.equal(known.gateways["detector"], section.from_detector)
        rows = known.gateways.filter(of_this_run)
    if section.flagged:
        return rows.filter(rows["flagged"])
    return rows.filter(pc.fill_null(pc.less_equal(rows["rank"], section.top), False))


_TABLE = "gateways"


def pin_groups(config: Config) -> Config:
    """Check every named group and earlier result, and put the digests of these in the config.

    Raises
    ------
    ConfigError
        When a group is not in the world: every one of them at once.
    ResultError
        When an earlier result is missing, has changed, or lacks the detector.
    """
    if config.world is None:
        return config
    problems = list(_unknown_names(config))
    if problems:
        raise ConfigError(problems)
    pinned = tuple(_pinned(config, section) for section in config.interventions)
    return config.model_copy(update={"interventions": pinned})


def world_names(config: Config) -> pa.StringArray:
    """Return the names of the groups of a simulated world, in the order of their ids."""
    return numbered_names("g", np.arange(0 if config.world is None else config.world.groups))


def _unknown_names(config: Config) -> Iterator[Problem]:
    on_groups = [one for one in config.interventions if isinstance(one, OnGroupsSection)]
    lists = [("names in interventions", one.names) for one in on_groups]
    lists.append(("truth.total_groups", config.truth.total_groups))
    if not any(names for _, names in lists):
        return
    known = world_names(config).to_pylist()
    there = set(known)
    for what, names in lists:
        for name in names or ():
            if name not in there:
                hint = did_you_mean(name, known)
                rule = f"must be groups of the world, {shown(known[0])} to {shown(known[-1])}"
                yield Problem(what, rule, shown(name), hint=hint)


def _pinned(config: Config, section: InterventionSection) -> InterventionSection:
    if not isinstance(section, OnGroupsSection) or section.from_result is None:
        return section
    found = earlier_findings(section)
    unknown = set(found["group"].to_pylist()) - set(world_names(config).to_pylist())
    if unknown:
        raise ResultError(
            f"{section.from_result} is of another world: it ranks {shown(min(unknown))}, which "
            "this config's world does not have"
        )
    digest = file_digest(_table_path(section.from_result))
    return section.model_copy(update={"digest": digest})


def earlier_findings(section: OnGroupsSection) -> pa.Table:
    """Return what the detector of an intervention's earlier run found.

    Raises
    ------
    ResultError
        When the run is missing, is not the one that the config names, or lacks the detector.
    """
    folder = str(section.from_result)
    table = open_result(folder).table(_TABLE)
    digest = file_digest(_table_path(folder))
    if section.digest is not None and digest != section.digest:
        raise ResultError(
            f"{folder} is not the result that the config names: the sha256 of its "
            f"{_TABLE}.parquet is {digest}, the config says {section.digest}"
        )
    detectors = sorted(set(table["detector"].to_pylist()))
    if section.detector not in detectors:
        there = ", ".join(detectors) or "none"
        raise ResultError(
            f"{folder} has no findings of a detector {shown(str(section.detector))}; "
            f"it has: {there}"
        )
    return table.filter(pc.equal(table["detector"], section.detector))


def _table_path(folder: str) -> str:
    return str(Path(folder) / f"{_TABLE}.parquet")
