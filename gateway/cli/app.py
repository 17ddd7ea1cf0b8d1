"""The commands. Each one loads what it needs when it is called, so that help is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import __version__
from gateway.cli.arguments import (
    CheckOut,
    ConfigFile,
    Force,
    Json,
    Memory,
    NamesDetectors,
    Out,
    ResultDir,
    Scheduler,
    Seed,
    Settings,
    SweepOut,
    Threads,
    Workers,
    of_a_log,
    of_targets,
    on_an_engine,
    overrides_of,
)
from gateway.cli.terminal import TerminalTalk

app = typer.Typer(
    name="gateway",
    help="Find the groups that lead people into a set of target groups, and check the finding.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gateway {__version__}\n")
        raise typer.Exit


@app.callback()
def gateway(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Find the groups that lead people into a set of target groups, and check the finding."""


@app.command()
def run(
    config: ConfigFile,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    threads: Threads = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Run a config: simulate or read, score, detect, evaluate, draw, report."""
    from gateway.cli.run_and_show import run_and_show  # noqa: PLC0415  (quick help)
    from gateway.results import load_config  # noqa: PLC0415

    loaded = load_config(config, overrides=overrides_of(settings, seed))
    run_and_show(loaded, out=out, threads=threads, as_json=as_json, force=force)


@app.command(cls=NamesDetectors)
@of_a_log
@of_targets
def detect(
    *,
    asked: dict[str, Any],
    joins: Annotated[Path, typer.Argument(metavar="JOINS", help="a log, in any form")],
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="2GiB: what work on a mapped log may take"),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="with --memory: serial or dask")
    ] = "serial",
    scheduler: Scheduler = None,
    workers: Workers = None,
    out: Out = None,
    threads: Threads = None,
    as_json: Json = False,
    force: Force = False,
    columns: dict[str, str | None],
) -> None:
    """Find gateway groups in a real join log."""
    from gateway.cli.own_logs import (  # noqa: PLC0415
        change_alone,
        config_for_log,
        options_for_parts,
    )
    from gateway.cli.run_and_show import run_and_show  # noqa: PLC0415  (quick help)

    parts = options_for_parts(
        memory, engine=engine, scheduler=scheduler, workers=workers, threads=threads
    )
    config = config_for_log(joins, columns=columns, **asked)
    run_and_show(
        config, out=out, threads=threads, as_json=as_json, force=force, parts=parts,
        fallback=None if asked["detectors"] else change_alone(config),
    )  # fmt: skip


@app.command(cls=NamesDetectors)
@of_a_log
@of_targets
@on_an_engine
def check(
    *,
    asked: dict[str, Any],
    joins: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            help="a log, in any form; or a config (.toml) or a result, with its targets",
        ),
    ],
    thorough: Annotated[
        bool, typer.Option("--thorough/--quick", help="many logs of each kind, or few")
    ] = False,
    out: CheckOut = None,
    on: dict[str, Any],
    as_json: Json = False,
    columns: dict[str, str | None],
) -> None:
    """Tell how far each detector can be trusted on a log: nulls, time reversed, planted effects."""
    from gateway.cli.folders import check_and_show  # noqa: PLC0415
    from gateway.cli.own_logs import config_for_log, config_of_own  # noqa: PLC0415
    from gateway.sweep import EngineOptions  # noqa: PLC0415

    options = EngineOptions(**on)
    if asked["targets"] is None and not asked["named"]:
        over = overrides_of(asked["settings"], asked["seed"])
        config = config_of_own(joins, detectors=asked["detectors"], over=over)
    else:
        config = config_for_log(joins, columns=columns, **asked)
    code = check_and_show(config, thorough=thorough, folder=out, options=options, as_json=as_json)
    raise typer.Exit(code)


@app.command()
@of_a_log
def convert(
    *,
    log: Annotated[Path, typer.Argument(metavar="LOG", help="a log, in any form")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="a new or an empty folder")],
    memory: Memory = "2GiB",
    as_json: Json = False,
    columns: dict[str, str | None],
) -> None:
    """Turn a log of any size into a folder of columns, which detect maps from the disk."""
    from gateway.cli.own_logs import convert_and_show  # noqa: PLC0415  (quick help)

    convert_and_show(log, out=out, columns=columns, memory=memory, as_json=as_json)


@app.command()
def simulate(
    config: ConfigFile,
    out: Annotated[Path, typer.Option("--out", metavar="DIR")],
    settings: Settings = None,
    seed: Seed = None,
    threads: Threads = None,
) -> None:
    """Simulate a config's platform: only the log, the groups and their truth."""
    from gateway.cli.run_and_show import simulate_and_show  # noqa: PLC0415  (quick help)
    from gateway.results import load_config  # noqa: PLC0415

    simulate_and_show(
        load_config(config, overrides=overrides_of(settings, seed)), out=out, threads=threads
    )


@app.command()
@on_an_engine
def sweep(
    *,
    config: ConfigFile,
    settings: Settings = None,
    out: SweepOut = None,
    seed: Seed = None,
    on: dict[str, Any],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the points and run nothing")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every point of a config's [sweep] that is not there yet."""
    from gateway.cli.folders import list_points, sweep_and_show  # noqa: PLC0415  (quick help)
    from gateway.sweep import EngineOptions, read_plan  # noqa: PLC0415

    options = EngineOptions(**on)
    plan = read_plan(config, overrides=overrides_of(settings, seed))
    folder = out if out is not None else plan.folder
    if dry_run:
        list_points(plan, folder=folder, as_json=as_json)
        return
    raise typer.Exit(sweep_and_show(plan, folder=folder, options=options, as_json=as_json))


@app.command()
@on_an_engine
def resume(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of a sweep")],
    on: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Run what is missing of a sweep: after a fault, a kill, or a failed point."""
    from gateway.cli.folders import sweep_and_show  # noqa: PLC0415  (quick help)
    from gateway.sweep import EngineOptions, stored_plan  # noqa: PLC0415

    options = EngineOptions(**on)
    plan = stored_plan(folder)
    raise typer.Exit(sweep_and_show(plan, folder=folder, options=options, as_json=as_json))


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of a sweep or a run")],
    watch: Annotated[
        bool, typer.Option("--watch", help="look again every 2 s until nothing runs")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell how far a sweep is: done, running, failed, time left, memory."""
    from gateway.cli.folders import show_status  # noqa: PLC0415  (quick help)

    show_status(folder, watch=watch, as_json=as_json)


@app.command()
def compare(
    first: ResultDir,
    second: Annotated[Path, typer.Argument(metavar="DIR", help="another one")],
    as_json: Json = False,
) -> None:
    """Tell which settings and which results of two runs, or two sweeps, differ."""
    from gateway.cli.folders import show_comparison  # noqa: PLC0415  (quick help)

    show_comparison(first, second, as_json=as_json)


@app.command()
def export(
    folder: ResultDir,
    ro_crate: Annotated[
        bool, typer.Option("--ro-crate", help="write ro-crate-metadata.json into the folder")
    ] = False,
    license_url: Annotated[
        str | None, typer.Option("--license", metavar="URL", help="licence of the data")
    ] = None,
) -> None:
    """Make a stored result readable for other tools: as an RO-Crate."""
    from gateway.results import write_crate  # noqa: PLC0415  (quick help)

    if not ro_crate:
        raise typer.BadParameter("say what to export: --ro-crate")
    sys.stdout.write(f"{write_crate(folder, license_url=license_url)}\n")


@app.command()
def rerun(folder: ResultDir, threads: Threads = None, as_json: Json = False) -> None:
    """Repeat a stored run elsewhere and tell whether its tables come out the same."""
    from gateway.cli.folders import rerun_and_compare  # noqa: PLC0415  (quick help)

    same = rerun_and_compare(folder, threads=threads, as_json=as_json)
    raise typer.Exit(0 if same else 1)


@app.command()
def explain(
    folder: ResultDir,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="name of a group")],
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Say why a group is ranked where it is: its joiners, before and after they joined."""
    from gateway.cli.folders import explain_and_show  # noqa: PLC0415  (quick help)

    explain_and_show(folder, group, threads=threads, as_json=as_json)


@app.command()
def figures(
    folder: ResultDir,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help="of a sweep; default: average_precision"),
    ] = None,
) -> None:
    """Draw a stored result's figures and report again, from its tables."""
    from gateway.publish import redraw  # noqa: PLC0415  (quick help)

    redraw(folder, metric=metric)
    sys.stdout.write(f"{folder / 'figures'}\n")


@app.command()
def report(folder: ResultDir) -> None:
    """Write a stored result's report again, from its tables."""
    from gateway.publish import redraw  # noqa: PLC0415  (quick help)

    redraw(folder, report_only=True)
    sys.stdout.write(f"{folder / 'report.html'}\n")


@app.command()
def view(
    folder: ResultDir,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="of the page; default: a free one")
    ] = 0,
) -> None:
    """Show a stored result as pages in a browser of this machine, until interrupted."""
    from gateway.cli.folders import view_until_interrupted  # noqa: PLC0415  (quick help)

    view_until_interrupted(folder, port=port)


@app.command()
def reproduce(
    full: Annotated[
        bool, typer.Option("--full/--quick", help="every claim, or those of about a minute")
    ] = False,
    claim: Annotated[
        list[str] | None, typer.Option("--claim", metavar="ID", help="only this claim; repeat")
    ] = None,
    file: Annotated[
        Path, typer.Option("--file", metavar="FILE", help="where the claims stand")
    ] = Path("claims.toml"),
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="where claims.parquet goes")
    ] = Path("results/reproduce"),
    threads: Threads = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="print the claims as Markdown and run nothing")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute the README's claims anew; exit code 4 where one is outside its tolerance."""
    from gateway.cli.run_and_show import list_claims, reproduce_and_show  # noqa: PLC0415

    if list_only:
        list_claims(file)
        return
    code = reproduce_and_show(
        file, names=claim or (), full=full, out=out, threads=threads, as_json=as_json
    )
    raise typer.Exit(code)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or an empty folder")],
) -> None:
    """Write files to begin with: a small log, its targets, a config; and say what to do."""
    from gateway.cli.own_logs import begin_and_show  # noqa: PLC0415  (quick help)

    begin_and_show(folder)


@app.command()
def validate(config: ConfigFile, settings: Settings = None) -> None:
    """Check a config; every problem at once."""
    from gateway.results import load_config  # noqa: PLC0415  (quick help)

    load_config(config, overrides=settings or ())
    TerminalTalk().say(f"{config} is a valid config")


@app.command()
def schema() -> None:
    """Print the JSON Schema of configs: every key, its rule and its default."""
    from gateway.config import config_json_schema  # noqa: PLC0415  (quick help)

    sys.stdout.write(json.dumps(config_json_schema(), indent=2, ensure_ascii=False) + "\n")
