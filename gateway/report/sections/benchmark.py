"""The benchmark: detectors over several worlds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, label
from gateway.report.numbers import count, interval
from gateway.report.sections.evaluation import comparisons, metric
from gateway.report.stored import Result

__all__ = ["benchmark"]


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
    return Section(
        "benchmark",
        "Benchmark",
        [*comparisons(rows, key="benchmark", where="over several worlds"), table],
    )


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
    return Filter(key, key.capitalize(), [(value, _words(key, value)) for value in values], initial)


def _words(key: str, value: str) -> str:
    return metric(value)[0] if key == "metric" else value
