"""``gateway detect`` and ``gateway convert``: logs of one's own, whatever their columns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from gateway.cli.terminal import TerminalTalk, clean, complain, print_json
from gateway.config import Config, LogSection, config_to_toml, parse_config
from gateway.errors import ConfigError, LogError, Problem, shown
from gateway.log import parse_duration, read_names
from gateway.log.columns import Columns, pieces_of
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.log.mapped import read_manifest
from gateway.log.text_files import csv_of
from gateway.log.work import parse_size
from gateway.results import draft_result, open_result, read_config_text, stands

if TYPE_CHECKING:
    from gateway.log.work import Workers
    from gateway.sweep import EngineOptions


# What answers where no detector is named: one of association, one of change; and one of
# traces, where the log has some.
BOTH = ("spike", "self_controlled")
TRACES = "edges"
_TRACED = ("inviter", "seed_group")
_NO_TARGET = "no target group: give --targets FILE or --target GROUP"


def config_for_log(
    path: Path,
    *,
    targets: Path | None,
    targets_column: str | None = None,
    targets_where: Sequence[str] | None = None,
    skip_unknown: bool = False,
    named: Sequence[str] | None,
    detectors: Sequence[str] | None,
    columns: Mapping[str, str | None] | None = None,
    horizon: str | None,
    seed: int | None,
    settings: Sequence[str] | None,
) -> Config:
    """Return the config that ``gateway run`` would need to do the same.

    Raises
    ------
    GatewayError
        When no target is given, or the log or an option cannot be used.
    """
    conditions = dict(_condition(text) for text in targets_where or ()) or None
    if targets is None and (targets_column or conditions):
        raise LogError("--targets-column and --targets-where go with --targets FILE alone")
    listed = () if targets is None else read_names(
        targets, column=targets_column, where=conditions
    )  # fmt: skip
    wanted = [*listed, *(named or ())]
    if not wanted:
        raise LogError(_NO_TARGET)
    document: dict[str, dict[str, object]] = {
        "experiment": {"name": _slug(path)},
        "log": {"path": str(path), **_given(columns)},
        "targets": {"groups": sorted(set(wanted))},
    }
    if skip_unknown:
        document["targets"]["skip_unknown"] = True
    if seed is not None:
        document["experiment"]["seed"] = seed
    document["detect"] = {"detectors": list(detectors or _defaults(path, columns))}
    if horizon is not None:
        document["score"] = {"horizon": _duration(horizon)}
    try:
        return parse_config(tomli_w.dumps(document), overrides=settings or ())
    except ConfigError as error:
        raise ConfigError([_without_line(problem) for problem in error.problems]) from None


def _defaults(path: Path, columns: Mapping[str, str | None] | None) -> tuple[str, ...]:
    """Return the detectors that answer where none is named, by the columns of the log."""
    try:
        if (manifest := read_manifest(path)) is not None:
            has_traces = any(Path(name).stem in _TRACED for name in manifest.digests)
        else:
            pieces = pieces_of(path, _columns_of(path, columns))
            has_traces = any(role in piece.roles for piece in pieces for role in _TRACED)
    except (LogError, ConfigError):
        # Reading the log says better what is wrong with it.
        has_traces = False
    return (*BOTH, TRACES) if has_traces else BOTH


def config_of_own(path: Path, *, detectors: Sequence[str] | None, over: list[str]) -> Config:
    """Return a config from a file or a stored result, with other detectors or seed where asked.

    Raises
    ------
    GatewayError
        When it is neither: a log needs target groups.
    """
    if path.suffix == ".toml":
        text, name = read_config_text(path), str(path)
    elif stands(path):
        text, name = config_to_toml(open_result(path).config), "config"
    else:
        raise LogError(_NO_TARGET)
    if detectors:
        over = [*over, f"detect.detectors={json.dumps(list(detectors))}"]
    return parse_config(text, name=name, overrides=over)


def change_alone(config: Config) -> Config | None:
    """Return the config with what needs no users to compare with; None unless both were to run."""
    if config.detect.detectors[: len(BOTH)] != BOTH:
        return None
    detect = config.detect.model_copy(update={"detectors": config.detect.detectors[1:]})
    return config.model_copy(update={"detect": detect})


def _without_line(problem: Problem) -> Problem:
    """Drop a line number of the config that the options were turned into: nobody sees it."""
    where = problem.where if problem.where and problem.where.startswith("--set") else None
    return replace(problem, where=where)


def _given(columns: Mapping[str, str | None] | None) -> dict[str, Any]:
    """Return the keys of ``[log]`` that options were given for."""
    return {key: name for key, name in (columns or {}).items() if name is not None}


def _columns_of(path: Path, columns: Mapping[str, str | None] | None) -> Columns:
    section = LogSection(path=str(path), **_given(columns))
    return Columns(**section.columns, time_format=section.time_format or "auto")


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise LogError(f"--targets-where must look like category=Tech; got {shown(text)}")
    return column, value


def _duration(horizon: str) -> int | str:
    """Return a bare number as one; whether a unit fits is known when the log is read."""
    if horizon.strip().isdigit():
        return parse_duration(horizon, "integer")
    parse_duration(horizon, "second")
    return horizon.strip()


def _slug(path: Path) -> str:
    """Name of the experiment: the file's stem, as far as a folder can bear it."""
    stem = path.name.split(".")[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64] or "log"


def convert_and_show(
    log: Path, *, out: Path, columns: Mapping[str, str | None], memory: str, as_json: bool
) -> None:
    """Convert a log and print where it lies and what it holds."""
    limit = parse_size(memory)
    names = _columns_of(log, columns)
    with TerminalTalk().stage(f"converting {log.name}"), draft_result(out) as draft:
        made = convert_log(log, draft.folder, memory=limit, columns=names)
    reading = JoinLog.open(out).reading
    for line in reading.lines():
        TerminalTalk().say(f"note: {line}")
    if as_json:
        counts = {"rows": made.rows, "joins": made.joins, "users": made.users,
                  "groups": made.groups, "reading": reading.to_arrow().to_pylist()}  # fmt: skip
        print_json({"folder": out, **counts})
        return
    sys.stdout.write(
        f"{made.joins:,} joins of {made.groups:,} groups by {made.users:,} users\n{out}\n"
    )


BEGIN = (
    "gateway detect joins.csv --targets targets.txt",
    "gateway check joins.csv --targets targets.txt",
    "gateway run quickstart.toml",
)
"""What can be done with the files of ``gateway init``."""


def begin_and_show(folder: Path) -> None:
    """Write files to begin with into a new or an empty folder, and say what to do with them."""
    from gateway.example import example_log  # noqa: PLC0415  (quick help)
    from gateway.results import read_config_text, write_files  # noqa: PLC0415

    package = Path(str(files("gateway")))
    # In a wheel the configs lie in the package, in a checkout beside it.
    places = [at / "configs" / "quickstart.toml" for at in (package, package.parent)]
    joins, targets, truth, _ = example_log()
    names = {"targets.txt": targets.names(joins), "truth.txt": truth}
    texts = {name: "".join(f"{line}\n" for line in lines) for name, lines in names.items()}
    texts["quickstart.toml"] = read_config_text(next(filter(Path.is_file, places), places[0]))
    begin = {"joins.csv": csv_of(joins)} | {name: text.encode() for name, text in texts.items()}
    write_files(folder, begin)
    lines = "".join(f"  {command}\n" for command in BEGIN)
    place = clean(str(folder))
    sys.stdout.write(f"{place} has a log, its targets and a config. There:\n{lines}")


# Who works on its parts ----------------------------------------------------------------------

STOPPED = 1


@dataclass(frozen=True)
class PartOptions:
    """How a log on disk is worked on: bytes that each process may take, and who they are."""

    memory: int
    engine: EngineOptions


def options_for_parts(
    memory: str | None,
    *,
    engine: str,
    scheduler: str | None,
    workers: int | None,
    threads: int | None,
) -> PartOptions | None:
    """Return how a log on disk is worked on; None for a log in memory.

    Raises
    ------
    GatewayError
        When the options do not go together.
    """
    if engine not in ("serial", "dask"):
        raise ConfigError([Problem("--engine", "must be serial or dask", engine)])
    if engine == "serial":
        for name, value in (("--scheduler", scheduler), ("--workers", workers)):
            if value is not None:
                raise ConfigError([Problem(name, "goes with --engine dask alone", str(value))])
    if memory is None:
        if engine != "serial":
            raise ConfigError([Problem("--engine", "goes with --memory alone", engine)])
        return None
    from gateway.sweep import EngineOptions  # noqa: PLC0415  (a log in memory needs no engine)

    return PartOptions(parse_size(memory), EngineOptions(engine, workers, threads or 1, scheduler))


@contextmanager
def workers_for(options: PartOptions) -> Iterator[Workers]:
    """Give the workers while the block lasts; a cluster that is lost ends the command."""
    from gateway.log.work import HERE  # noqa: PLC0415  (quick help)

    if options.engine.engine == "serial":
        yield HERE
        return
    from gateway.sweep import SweepStoppedError  # noqa: PLC0415  (a cluster's)
    from gateway.sweep.cluster_parts import cluster_workers  # noqa: PLC0415  (an extra)

    try:
        with cluster_workers(options.engine) as workers:
            yield workers
    except SweepStoppedError as error:
        complain(f"the run has stopped: {error}; nothing is left of it")
        sys.exit(STOPPED)
