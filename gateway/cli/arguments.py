"""Arguments and options that several commands share, and how a help is completed.

Nothing here loads more than the command line itself needs.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file")]
ResultDir = Annotated[Path, typer.Argument(metavar="DIR", help="folder of a stored result")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="set a key over the config's"),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="default: results/<experiment>/<id>"),
]
SweepOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="default: results/<experiment>/sweep"),
]
Seed = Annotated[int | None, typer.Option("--seed", help="seed, over the config's")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="threads of the kernels; default: all cores")
]
Json = Annotated[bool, typer.Option("--json", help="print the outcome as JSON")]
Memory = Annotated[
    str, typer.Option("--memory", metavar="SIZE", help="what the work may take, such as 500MiB")
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="of a Dask scheduler: tcp://host:port"),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="default: cores divided by threads")
]
CheckOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="default: results/<log>/check, or check-thorough"),
]
Force = Annotated[bool, typer.Option("--force", help="compute again what is already there")]


# Options by the argument of a command that each one is: its type, name, value and meaning.
_Options = dict[str, tuple[Any, str, str | None, str]]
# Those that name what a log calls its columns, by the key of ``[log]``.
_COLUMNS: _Options = {
    key: (str | None, f"--{name}", metavar, said) for key, name, metavar, said in (
        ("user", "user-column", "NAME", "who joined; default: user"),
        ("group", "group-column", "NAME", "the group joined; default: group"),
        ("time", "time-column", "NAME", "when; default: time"),
        ("from_column", "from-column", "NAME", "first tick at which the user is observed; "
         "default: observed_from"),
        ("until_column", "until-column", "NAME", "last such tick; default: observed_until"),
        ("source_column", "source-column", "NAME", "where the join came from; default: source"),
        ("confirmed_column", "confirmed-column", "NAME", "true or false; default: confirmed"),
        ("inviter_column", "inviter-column", "NAME", "user who invited; default: inviter"),
        ("seed_column", "seed-column", "NAME", "group that was recommended from; "
         "default: seed_group"),
        ("left_column", "left-column", "NAME", "when the member left; default: left"),
        ("time_format", "time-format", "FORM", "of whole numbers: yyyymmdd, epoch_s or epoch_ms; "
         "default: ticks of their own"),
    )
}  # fmt: skip
# What is asked of a log, by the argument of ``config_for_log``.
_ASKED: _Options = {
    "targets": (Path | None, "--targets", "FILE", "target groups, one per line, or CSV"),
    "targets_column": (str | None, "--targets-column", "NAME", "of a CSV FILE; default: group"),
    "targets_where": (list[str] | None, "--targets-where", "COLUMN=VALUE",
                      "only such rows of a CSV FILE; repeat"),
    "skip_unknown": (bool, "--skip-unknown-targets", None, "leave out targets that the log lacks"),
    "named": (list[str] | None, "--target", "GROUP", "a target group; repeat"),
    "detectors": (list[str] | None, "--detector", "NAME",
                  "repeat for several; default: spike, self_controlled and, where the log says "
                  "who invited or what was recommended from, edges"),
    "horizon": (str | None, "--horizon", None,
                "180d, 12h, or ticks; default: until the log ends"),
}  # fmt: skip
_ENGINE: _Options = {
    "engine": (str, "--engine", "NAME", "serial, processes or dask"),
}
_THREADS = Annotated[int, typer.Option("--threads", min=1, help="threads of each worker's kernels")]
_DEFAULTS: dict[str, Any] = {"skip_unknown": False, "engine": "processes", "threads": 1}


def of_a_log(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, which takes them as ``columns``, the options that name a log's columns."""
    return _taking(command, "columns", _COLUMNS)


def of_targets(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, which takes them as ``asked``, the options for targets and detectors."""
    return _taking(command, "asked", _ASKED, seed=Seed, settings=Settings)


def on_an_engine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, which takes them as ``on``, the fields of ``EngineOptions``."""
    return _taking(command, "on", _ENGINE, scheduler=Scheduler, workers=Workers, threads=_THREADS)


def _taking(
    command: Callable[..., None], name: str, told: _Options, **shared: Any
) -> Callable[..., None]:
    """Give a command options, by their keys in the place of one argument of such a name."""
    options: dict[str, Any] = {
        key: Annotated[kind, typer.Option(option, metavar=metavar, help=said)]
        for key, (kind, option, metavar, said) in told.items()
    } | shared

    @functools.wraps(command)
    def called(**given: Any) -> None:
        command(**{name: {key: given.pop(key) for key in options}}, **given)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=kind,
                          default=_DEFAULTS.get(key))
        for key, kind in options.items()
    ]  # fmt: skip
    parts = ([one] if one.name != name else added for one in signature.parameters.values())
    parameters = list(itertools.chain.from_iterable(parts))
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called


class NamesDetectors(TyperCommand):
    """A command whose help names the detectors, which are looked up when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from gateway.config.detectors import OPTIONS  # noqa: PLC0415  (quick help)
        from gateway.plugins import plugin_names  # noqa: PLC0415

        names = ", ".join([*OPTIONS, *plugin_names("detector")])
        for option in self.params:
            if "--detector" in option.opts:
                option.help = f"{names}; {option.help}"  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def overrides_of(settings: list[str] | None, seed: int | None) -> list[str]:
    """Return settings over a config's, the seed among them."""
    return [*(settings or ()), *([f"experiment.seed={seed}"] if seed is not None else [])]
