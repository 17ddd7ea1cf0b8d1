"""Run, then draw: a config to a finished result with figures and report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa

from gateway.ahead import compiling_ahead
from gateway.check import is_of_check, summarise_check
from gateway.config import Config, config_to_toml
from gateway.errors import ConfigError, Problem, either
from gateway.figures import FIGURES, csv_bytes, render
from gateway.pipeline import execute
from gateway.provenance import describe_environment
from gateway.report import render_report, tex_tables
from gateway.results import (
    Draft,
    Result,
    SweepFolder,
    is_sweep,
    load_config,
    open_result,
    open_tables,
    stands,
)
from gateway.talk import SILENT, Talk

DRAWN = 30
"""Groups in a figure that ranks them, where no config says."""
LISTED = 100
"""Groups of each detector in the report's ranking: as many as the note works with."""

Figures = Mapping[str, tuple[str, str]]


def run(
    config: Config | Mapping[str, Any],
    *,
    folder: str | Path | None = None,
    force: bool = False,
    n_threads: int | None = None,
    talk: Talk = SILENT,
    left_out: str | None = None,
) -> Result:
    """Run a config and store tables, figures and report.

    Parameters
    ----------
    config
        What to do: a config, or its sections as a mapping; see ``load_config``.
    folder
        Where the result goes; by default ``results/<experiment>/<id>``. A finished result
        of the same config there is returned as it is.
    force
        Compute again even then.
    n_threads
        Threads of the kernels; None for all cores. It does not change the result.
    talk
        Who hears of the progress; nobody by default.
    left_out
        What else was asked for and why it is not in the config, in a sentence: the result and
        its report say it.

    Returns
    -------
    Result
        The stored result, open.
    """
    config = load_config(config) if isinstance(config, Mapping) else config
    if config.check is not None:
        rule = "makes one log of a check, which has no page of its own"
        hint = either("use gateway.check", "use 'gateway check' or 'gateway sweep'")
        raise ConfigError([Problem("[check]", rule, hint=hint)])
    with nullcontext() if n_threads == 1 else compiling_ahead(config):
        return execute(
            config, folder=folder, force=force, n_threads=n_threads, talk=talk,
            illustrate=_illustrate, left_out=left_out,
        )  # fmt: skip


def redraw(folder: str | Path, *, report_only: bool = False, metric: str | None = None) -> Result:
    """Draw figures, LaTeX tables and report of a stored result again, from its tables alone.

    A folder of tables that is no run (a sweep's) gets its figures and LaTeX tables, and its
    report where it is that of a check; ``metric`` is what figures over swept keys show, by
    default average precision.

    Raises
    ------
    ResultError
        When the folder holds no tables, or a report is wanted of what is no run.
    """
    if not stands(Path(folder)):
        return _redraw_tables(Path(folder), report_only=report_only, metric=metric)
    result = open_result(folder)
    tables = result.tables()
    files, figures = _draw(tables, top=result.config.figures.top)
    report = _report(tables, figures, result.config, result.provenance)
    result.rewrite(({} if report_only else files) | {"report.html": report})
    return result


def _redraw_tables(folder: Path, *, report_only: bool, metric: str | None) -> Result:
    """Draw what the tables of a sweep allow, and the page of a check, after summing it up."""
    result = open_tables(folder)
    tables = result.tables()
    is_check = is_sweep(folder) and is_of_check(tables.get("evaluation"))
    if report_only and not is_check:
        return open_result(folder)  # which says why there can be no report
    if is_check:
        from gateway.sweep import stored_plan  # noqa: PLC0415  (a run needs no sweep)

        place, config = SweepFolder(folder), stored_plan(folder).config
        # What the logs are made of: gateway check makes the sweep of it again.
        section = None if config.check is None else config.check.model_copy(update={"log": None})
        config = config.model_copy(update={"sweep": None, "check": section})
        place.write_sweep_table("check", summarise_check(tables["evaluation"]))
        # The logs of a check are not worlds of one kind, of which means could be drawn.
        tables = {"check": result.table("check"), "summary": tables["summary"]}
    files, figures = _draw(tables, top=DRAWN, metric=metric)
    files = {} if report_only else files
    if is_check:
        files["report.html"] = _report(tables, figures, config, describe_environment())
    result.rewrite(files)
    return result


def _illustrate(
    draft: Draft, tables: dict[str, pa.Table], config: Config, provenance: dict[str, Any]
) -> None:
    files, figures = _draw(tables, top=config.figures.top)
    for name, content in files.items():
        draft.write_bytes(name, content)
    draft.write_bytes("report.html", _report(tables, figures, config, provenance))


def _draw(
    tables: Mapping[str, pa.Table], *, top: int, metric: str | None = None
) -> tuple[dict[str, bytes], Figures]:
    """Every figure and LaTeX table that the tables allow: files by path; (SVG, caption) by name."""
    files = {
        f"tables/{key}.tex": text.encode() for key, text in tex_tables(tables, top=top).items()
    }
    figures: dict[str, tuple[str, str]] = {}
    for figure in FIGURES:
        data = figure.plotted(tables, top=top, metric=metric)
        if data is None:
            continue
        rendered = render(figure.draw(data))
        for ending, content in rendered.items():
            files[f"figures/{figure.NAME}.{ending}"] = content
        files[f"figures/{figure.NAME}.csv"] = csv_bytes(data)
        figures[figure.NAME] = (rendered["svg"].decode("utf-8"), figure.caption(data))
    return files, figures


def _report(
    tables: Mapping[str, pa.Table], figures: Figures, config: Config, provenance: Mapping[str, Any]
) -> bytes:
    title = f"Gateway groups: {config.experiment.name}"
    page = render_report(
        tables,
        figures,
        config_toml=config_to_toml(config),
        provenance=provenance,
        title=title,
        top=max(LISTED, config.figures.top),
    )
    return page.encode("utf-8")
