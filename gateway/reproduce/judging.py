"""Run what claims need, each config once; read their numbers; judge them; store the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses.log_shape import log_shape
from gateway.arrays import Float64
from gateway.config import Config, config_digest
from gateway.errors import ConfigError, Problem, ResultError
from gateway.inputs import obtain_inputs
from gateway.publish import run
from gateway.reproduce.claims import Claim
from gateway.results import draft_result, load_config
from gateway.tabular import schema_of
from gateway.talk import SILENT, Talk

CLAIMS_SCHEMA = schema_of(
    "id string, claim string, config string, table string, expected float64, tolerance float64, "
    "measured float64, within bool"
)
# A tolerance is a round decimal; the difference of two decimals misses it by some 1e-16.
_ROUNDING = 1e-12
_SHAPE = "log_shape"


@dataclass(frozen=True)
class Reproduction:
    """What became of some claims."""

    folder: Path  # where ``claims.parquet`` lies
    table: pa.Table  # a row for each claim, of ``CLAIMS_SCHEMA``

    @property
    def n_outside(self) -> int:
        """Claims that are outside their tolerance."""
        return sum(not within for within in self.table["within"].to_pylist())


def reproduce_claims(
    claims: Sequence[Claim],
    *,
    beside: Path,
    folder: Path,
    n_threads: int | None = None,
    talk: Talk = SILENT,
) -> Reproduction:
    """Compute claims and store the verdict.

    A config is run once however many claims are about it, and its result stays in
    ``results/`` as of any run; a finished one there is not computed again.

    Parameters
    ----------
    beside
        Folder that the claims' configs are relative to.
    folder
        Where the verdict goes; an earlier one there is replaced.

    Raises
    ------
    ConfigError
        When a config cannot be used, with every problem of every config, before anything
        is run.
    ResultError
        When a run lacks the table, row or column of a claim, or ``folder`` holds something
        else. Nothing is stored then.
    """
    configs = _load_configs(claims, beside)
    with draft_result(folder, replaces="reproduction") as draft:
        table = _judged(claims, _measured(claims, configs, n_threads=n_threads, talk=talk))
        found = Reproduction(folder, table)
        draft.write_table("claims", table)
        draft.write_status("reproduction", claims=len(claims), outside=found.n_outside)
    return found


def _measured(
    claims: Sequence[Claim], configs: Mapping[str, Config], *, n_threads: int | None, talk: Talk
) -> dict[str, float]:
    """Run what is needed and return each claim's number by its id."""
    measured: dict[str, float] = {}
    problems = []
    for config, mine in _by_config(claims, configs):
        table_of = _tables_of(config, mine, n_threads=n_threads, talk=talk)
        for claim in mine:
            try:
                measured[claim.id] = _measure(claim, table_of)
            except ResultError as error:
                problems.append(str(error))
    if problems:
        raise ResultError("\n".join(problems))
    return measured


def _load_configs(claims: Sequence[Claim], beside: Path) -> dict[str, Config]:
    """Return the config of each claim by the claim's id."""
    configs, problems = {}, []
    for claim in claims:
        try:
            config = load_config(beside / claim.config, overrides=claim.set)
        except ConfigError as error:
            where = f"claim '{claim.id}'"
            problems += [p if p.where else replace(p, where=where) for p in error.problems]
            continue
        if config.sweep is not None:
            problems.append(Problem(claim.config, "must be of one run: it has a [sweep]"))
        configs[claim.id] = config
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return configs


def _by_config(
    claims: Sequence[Claim], configs: Mapping[str, Config]
) -> list[tuple[Config, list[Claim]]]:
    """Put claims about the same run together, runs in the order of their first claim."""
    groups: dict[str, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(config_digest(configs[claim.id]), []).append(claim)
    return [(configs[mine[0].id], mine) for mine in groups.values()]


TableOf = Callable[[str], pa.Table]


def _tables_of(
    config: Config, claims: Sequence[Claim], *, n_threads: int | None, talk: Talk
) -> TableOf:
    """Run what the claims are about; return how to get a table of it by name."""
    shape = None
    if any(claim.table == _SHAPE for claim in claims):
        platform = obtain_inputs(config, talk=talk)
        world = platform.world
        category = None if world is None else world.groups.topic
        shape = log_shape(platform.joins, category).to_arrow()
    if all(claim.table == _SHAPE for claim in claims):
        return lambda _: shape
    result = run(config, n_threads=n_threads, talk=talk)
    return lambda name: shape if name == _SHAPE else result.table(name)


def _measure(claim: Claim, table_of: TableOf) -> float:
    try:
        table = table_of(claim.table)
    except ResultError as error:
        raise ResultError(f"claim '{claim.id}': {error}") from None
    groups = table_of("groups").select(["group", "role"]) if "role" in claim.where else None
    return metric_of(claim, table, groups=groups)


def _judged(claims: Sequence[Claim], measured: Mapping[str, float]) -> pa.Table:
    rows = []
    for claim in claims:
        got = measured[claim.id]
        named = {name: getattr(claim, name) for name in CLAIMS_SCHEMA.names[:6]}
        within = abs(got - claim.expected) <= claim.tolerance + _ROUNDING
        rows.append({**named, "measured": None if math.isnan(got) else got, "within": within})
    return pa.Table.from_pylist(rows, schema=CLAIMS_SCHEMA)


def metric_of(claim: Claim, table: pa.Table, *, groups: pa.Table | None = None) -> float:
    """Return a claim's number; NaN where the rows there are have no value.

    Parameters
    ----------
    claim
        Which rows and column it is about, and what is made of them.
    groups
        Columns ``group`` and ``role`` of every group, for a table that has no role itself.

    Raises
    ------
    ResultError
        When the table has no such column or row, or several where one was meant.
    """
    rows = _chosen(claim, _with_roles(table, groups))
    values = _column(claim, rows, claim.value)
    if claim.take == "count_below":
        assert claim.below is not None  # noqa: S101  (the claim's own rule)
        return claim.scale * float((values < claim.below).sum())
    if claim.take == "only":
        if len(values) != 1:
            raise ResultError(f"{_name(claim)} must have one row; got {len(values):,}")
        return claim.scale * float(values[0])
    weight = np.ones(len(values)) if claim.weight is None else _column(claim, rows, claim.weight)
    known = ~np.isnan(values) & (weight > 0)
    if not known.any():
        return float("nan")
    return claim.scale * float(np.average(values[known], weights=weight[known]))


def _with_roles(table: pa.Table, groups: pa.Table | None) -> pa.Table:
    if groups is None or "role" in table.column_names or "group" not in table.column_names:
        return table
    at = pc.index_in(table["group"], value_set=groups["group"].combine_chunks())
    return table.append_column("role", groups["role"].take(at))


def _chosen(claim: Claim, table: pa.Table) -> pa.Table:
    """Return the rows that hold what the claim says."""
    for name, wanted in claim.where.items():
        _need(claim, table, name)
        column = table[name]
        try:
            same = pc.equal(column, pa.scalar(wanted, column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kind = column.type
            raise ResultError(
                f"{_name(claim)}: column '{name}' holds {kind}; got {wanted!r}"
            ) from None
        table = table.filter(same)
    if table.num_rows == 0:
        raise ResultError(f"{_name(claim)} has no row for it")
    return table


def _column(claim: Claim, table: pa.Table, name: str) -> Float64:
    _need(claim, table, name)
    kind = table[name].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ResultError(f"{_name(claim)}: column '{name}' must hold numbers; it holds {kind}")
    values = pc.cast(table[name], pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _need(claim: Claim, table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        there = ", ".join(table.column_names)
        raise ResultError(f"{_name(claim)} has no column '{name}'; it has: {there}")


def _name(claim: Claim) -> str:
    said = ", ".join(f"{name} = {value}" for name, value in claim.where.items())
    return f"claim '{claim.id}': table '{claim.table}'" + (f" where {said}" if said else "")
