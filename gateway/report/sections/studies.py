"""Studies over several worlds or runs: the benchmark, and what interventions avert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, label
from gateway.report.numbers import MISSING, count, interval, significant
from gateway.report.sections.evaluation import comparisons, metric
from gateway.report.stored import Result

__all__ = ["benchmark", "interventions"]

_DOSES = (
    Column("intervention", is_number=False),
    Column("groups chosen by", is_number=False),
    Column("groups", "number of groups acted on"),
    Column("quantity", is_number=False),
    Column("value"),
    Column("95 % interval"),
)


def benchmark(result: Result) -> Section | None:
    """Return every detector, truth and metric of a stored benchmark; None without one."""
    rows = result.benchmark()
    if not rows:
        return None
    filters = [_filter("metric", rows, rows[0]["metric"]), _filter("truth", rows, "")]
    columns = (
        Column("detector", is_number=False),
        Column("metric", is_number=False),
        Column("truth", is_number=False),
        Column("mean"),
        Column("95 % interval", "over simulated worlds"),
        Column("worlds"),
    )
    table = Table(
        "benchmark-table",
        "Detectors against the truth, means over simulated worlds.",
        columns,
        [Body([_benchmark_row(row) for row in rows])],
        filters,
        is_sortable=True,
    )
    return Section("benchmark", "Benchmark", [*comparisons(rows, key="benchmark"), table])


def _benchmark_row(row: Mapping[str, Any]) -> Row:
    words, form = metric(row["metric"])
    bounds = interval(form(row["ci_low"]), form(row["ci_high"]))
    return Row(
        [
            label(row["detector"].replace("_", " ")),
            Cell(words, words, "text"),
            Cell(row["truth"], row["truth"], "text"),
            Cell(form(row["value"]), row["value"]),
            Cell(bounds, row["ci_low"]),
            Cell(count(row.get("n_worlds")), row.get("n_worlds")),
        ],
        {"metric": row["metric"], "truth": row["truth"]},
    )


def _filter(key: str, rows: Iterable[Mapping[str, Any]], initial: str) -> Filter:
    values = dict.fromkeys(row[key] for row in rows)
    return Filter(key, key, [(value, _words(key, value)) for value in values], initial)


def _words(key: str, value: str) -> str:
    return metric(value)[0] if key == "metric" else value


def interventions(result: Result) -> Section | None:
    """Return what acting on groups averted, by dose; None where nothing was tried."""
    rows = result.rows("dose_response")
    if not rows:
        return None
    said = "Paired runs of one simulated world: all that differs is what was done to the groups."
    body = Body([_dose_row(row) for row in rows])
    filters = [_filter("quantity", rows, rows[0]["quantity"])]
    table = Table("dose-response", said, _DOSES, [body], filters, is_sortable=True)
    return Section("interventions", "Interventions", [table])


def _dose_row(row: Mapping[str, Any]) -> Row:
    bounds = interval(significant(row["ci_low"]), significant(row["ci_high"]))
    cells: Sequence[Cell] = [
        label(row["intervention"].replace("_", " ")),
        Cell(row["chosen_by"].replace("_", " "), row["chosen_by"], "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(row["quantity"] or MISSING, row["quantity"], "text"),
        Cell(significant(row["value"]), row["value"]),
        Cell(bounds, row["ci_low"]),
    ]
    return Row(cells, {"quantity": row["quantity"]})
