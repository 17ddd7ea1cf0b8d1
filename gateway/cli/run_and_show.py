"""Run a config, or compute the README's claims anew, and show what came out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses import MEANING, verdict_of
from gateway.cli.own_logs import PartOptions, workers_for
from gateway.cli.terminal import (
    TerminalTalk,
    clean,
    complain,
    or_undefined,
    print_json,
    print_table,
)
from gateway.config import Config
from gateway.detect import measure_of
from gateway.detect.measure import words_of
from gateway.errors import (
    ConfigError,
    NobodyToCompareError,
    Problem,
    ResultError,
    did_you_mean,
)
from gateway.log.work import Work, working
from gateway.pipeline import pin_inputs, simulate_only
from gateway.publish import run
from gateway.report.sections.top_groups import ranked_columns
from gateway.reproduce import (
    Claim,
    Reproduction,
    claims_as_markdown,
    read_claims,
    reproduce_claims,
)
from gateway.results import Result, open_result, stands
from gateway.wording import AUC_WORDS, percent, scorer_shortfalls

SHOWN = 15
_COLUMNS = (
    "group", "rank", "role", "score", "estimate", "interval", "n_joiners", "q_value", "flagged",
    "e_value", "gamma",
)  # fmt: skip
# What a narrow terminal does without, the first of them first.
_MAY_GO = ("gamma", "e_value", "score", "q_value", "n_joiners", "role")


def run_and_show(
    config: Config,
    *,
    out: Path | None,
    threads: int | None,
    as_json: bool,
    force: bool,
    parts: PartOptions | None = None,
    fallback: Config | None = None,
) -> None:
    """Run, then print the top groups and where the report is; with ``parts``, of a log on disk.

    Where nobody is left to compare users with, the ``fallback`` runs instead, if there is one.
    """
    talk = TerminalTalk()
    run_one = partial(_run, out=out, force=force, threads=threads, talk=talk, parts=parts)
    try:
        result = run_one(config)
    except NobodyToCompareError as error:
        if fallback is None:
            raise
        names = set(config.detect.detectors) - set(fallback.detect.detectors)
        left_out = f"{', '.join(map(words_of, sorted(names)))} is left out: {error}"
        talk.say(left_out)
        result = run_one(fallback, left_out=left_out)
    except ResultError:
        stored = None if force or out is None else _left_by(fallback, out)
        if stored is None:
            raise
        talk.say(f"{out} is there already (--force computes it again)")
        result = stored
    if as_json:
        print_json(_as_json(result))
        return
    _show(result)


def _left_by(fallback: Config | None, out: Path) -> Result | None:
    """What an earlier call of the same stored at ``out``, where it had to fall back."""
    if fallback is None or not stands(out):
        return None
    stored = open_result(out)
    said = stored.table("summary")["key"].to_pylist()
    return stored if "left_out" in said and stored.config == pin_inputs(fallback) else None


def _run(
    config: Config,
    *,
    out: Path | None,
    force: bool,
    threads: int | None,
    talk: TerminalTalk,
    parts: PartOptions | None,
    left_out: str | None = None,
) -> Result:
    with ExitStack() as stack:
        if parts is not None:
            workers = stack.enter_context(workers_for(parts))
            stack.enter_context(working(Work(workers, parts.memory)))
        return run(
            config, folder=out, force=force, n_threads=threads, talk=talk, left_out=left_out
        )  # fmt: skip


def simulate_and_show(config: Config, *, out: Path, threads: int | None) -> None:
    """Simulate and print where the log is."""
    from gateway._numba import set_threads  # noqa: PLC0415  (only where kernels run)

    if threads is not None:
        set_threads(threads)
    folder = simulate_only(config, out, talk=TerminalTalk())
    sys.stdout.write(f"{folder}\n")


def _tops(result: Result) -> dict[str, pa.Table]:
    """The first ranked groups of every detector, in the order in which they ran."""
    gateways = result.table("gateways")
    groups = result.table("groups").select(["group", "role"])
    order = [("rank", "ascending"), ("group", "ascending")]
    ranked = gateways.filter(pc.is_valid(gateways["rank"]))
    tops = {}
    for name in dict.fromkeys(gateways["detector"].to_pylist()):
        mine = ranked.filter(pc.equal(ranked["detector"], name)).slice(0, SHOWN)
        tops[name] = mine.join(groups, "group").sort_by(order)
    return tops


def _show(result: Result) -> None:
    for name, top in _tops(result).items():
        if top.num_rows:
            _show_top(name, top.to_pylist(), is_simulated=result.config.log is None)
            sys.stdout.write(_rule(name, result.config))
    for line in [*_said(result), *_headlines(result), *_arms(result)]:
        sys.stdout.write(clean(line) + "\n")
    sys.stdout.write(f"report: {result.folder / 'report.html'}\n")


def _said(result: Result) -> list[str]:
    """How much the log can show, and what two kinds of evidence say together."""
    summary: dict[str, str] = {
        row["key"]: row["value"] for row in result.table("summary").to_pylist()
    }
    lines = [summary["left_out"]] if "left_out" in summary else []
    lines += summary.get("information", "").splitlines()
    lines += [line for line in [summary.get("permuted", "")] if line]
    if "verdict" in summary:
        lines += [summary["agreement"], summary["verdict"]]
    verdict = verdict_of(result.table("gateways"))
    if verdict is not None:
        lines += [MEANING, *_named("both", verdict.both)]
    rows = _rows(result, "verdicts")
    for said in dict.fromkeys(row["verdict"] for row in rows):
        groups = tuple(row["group"] for row in rows if row["verdict"] == said)
        lines += _named(f"{said} ({len(groups):,})", groups)
    return lines


def _named(what: str, groups: tuple[str, ...]) -> list[str]:
    if not groups:
        return []
    more = f" and {len(groups) - SHOWN:,} more" if len(groups) > SHOWN else ""
    return [f"{what}: {', '.join(groups[:SHOWN])}{more}"]


def _show_top(detector: str, top: list[dict[str, Any]], *, is_simulated: bool) -> None:
    """Print a ranking in the words and units of the report, as far as a terminal is wide."""
    measure = measure_of(detector)
    left_out = set() if is_simulated else {"role"}
    left_out |= {"score"} if measure.score is measure.estimate else set()
    left_out |= set() if measure.test else {"q_value", "flagged"}
    left_out |= {key for key in ("e_value", "gamma") if all(row.get(key) is None for row in top)}
    known = ranked_columns(measure)
    columns = [known[key] for key in _COLUMNS if key not in left_out]
    rows = [[column.cell(row).text for column in columns if column.cell] for row in top]
    title = f"Top gateway groups by {words_of(detector)}"
    may_go = [known[key].label for key in _MAY_GO if key not in left_out]
    print_table(title, [column.label for column in columns], rows, may_go=may_go, shortens=True)


def _rule(detector: str, config: Config) -> str:
    """What a detector flags, in a line; nothing for one that tests nothing."""
    measure = measure_of(detector)
    if not measure.test:
        return ""
    if not measure.holds_level:
        return f"flagged: nobody, as the p-values of {words_of(detector)} do not hold their level\n"
    options = config.options_of(detector)
    least = getattr(options, "min_spiking", getattr(options, "min_events", 0))
    more = f" and at least {least:,} {measure.events}" if least else ""
    return f"flagged: q < {options.alpha:g}{more}\n"


def _headlines(result: Result) -> list[str]:
    """The measures that a reader should see beside the rankings."""
    named = {
        **{("outcome", metric): text for metric, text in AUC_WORDS.items()},
        ("planted", "average_precision"): "average precision against planted gateways",
        ("planted", "precision_at_50"): "precision at 50",
        ("planted", "share_homophily_at_50"): "homophily look-alikes in the top 50",
    }
    rows = result.table("evaluation").to_pylist()
    several = len(result.config.detect.detectors) > 1
    lines = [
        f"{_of(row, several)}{text}: {or_undefined(row['value'])}"
        for key, text in named.items()
        for row in rows
        if (row["truth"], row["metric"]) == key
    ]
    outcomes = {row["metric"]: row["value"] for row in rows if row["truth"] == "outcome"}
    return lines + scorer_shortfalls(outcomes)


def _of(row: dict[str, Any], several: bool) -> str:
    return f"{words_of(row['detector'])}, " if several and row["truth"] == "planted" else ""


def _arms(result: Result) -> list[str]:
    """What each arm of interventions changed; nothing for a config without any."""
    return [
        f"arm {row['arm']}: {row['averted']:,.0f} target joins averted (95 % "
        f"{row['averted_low']:,.0f} to {row['averted_high']:,.0f}) of {row['target_joins']:,}, "
        f"{row['benign_lost']:,.0f} benign joins lost, "
        f"{percent(row['share_diverged'])} of users differ"
        for row in _rows(result, "interventions")
    ]


def _rows(result: Result, name: str) -> list[dict[str, Any]]:
    """Rows of a table that not every result has."""
    return list(result.table(name).to_pylist()) if name in result.table_names else []


def _as_json(result: Result) -> dict[str, Any]:
    verdict = verdict_of(result.table("gateways"))
    said = {} if verdict is None else {"verdict": {**asdict(verdict), "both": verdict.both}}
    return {
        "folder": str(result.folder),
        "report": str(result.folder / "report.html"),
        "summary": _summary(result),
        "reading": _rows(result, "reading"),
        **said,
        "verdicts": _rows(result, "verdicts"),
        "top": [row for top in _tops(result).values() for row in top.to_pylist()],
        "evaluation": result.table("evaluation").to_pylist(),
        "interventions": _rows(result, "interventions"),
    }


def _summary(result: Result) -> dict[str, str | int]:
    """The summary by key: counts, whose keys begin with ``n_``, as numbers."""
    pairs = [(row["key"], row["value"]) for row in result.table("summary").to_pylist()]
    return {key: int(value) if key.startswith("n_") else value for key, value in pairs}


# Exit code when a number is outside its tolerance.
OUTSIDE = 4


def list_claims(file: Path) -> None:
    """Print every claim as a table in Markdown: that of the README."""
    sys.stdout.write(claims_as_markdown(read_claims(file)))


def reproduce_and_show(
    file: Path,
    *,
    names: Sequence[str],
    full: bool,
    out: Path,
    threads: int | None,
    as_json: bool,
) -> int:
    """Judge the claims that are asked for, print the verdict, and return the exit code."""
    claims = _wanted(read_claims(file), names, file=file, full=full)
    found = reproduce_claims(
        claims, beside=file.parent, folder=out, n_threads=threads, talk=TerminalTalk()
    )
    if as_json:
        shown = {"folder": str(found.folder), "claims": found.table.to_pylist()}
        print_json(shown)
    else:
        _show_verdict(found)
    if found.n_outside:
        complain(f"{found.n_outside:,} of {len(claims):,} claims are outside their tolerance")
        return OUTSIDE
    return 0


def _wanted(
    claims: Sequence[Claim], names: Sequence[str], *, file: Path, full: bool
) -> list[Claim]:
    """Return the named claims, or else all quick ones, or all."""
    known = {claim.id: claim for claim in claims}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([_unknown(name, list(known), file) for name in unknown])
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    wanted = [claim for claim in claims if full or claim.when == "quick"]
    if not wanted:
        rule = "has no quick claim: use --full"
        raise ConfigError([Problem(str(file), rule)])
    return wanted


def _unknown(name: str, known: list[str], file: Path) -> Problem:
    rule = f"must be one of those in {file}"
    return Problem("--claim", rule, name, hint=did_you_mean(name, known))


def _show_verdict(found: Reproduction) -> None:
    rows = [
        [
            row["claim"], f"{row['expected']:g}", f"{row['tolerance']:g}",
            "-" if row["measured"] is None else f"{row['measured']:.4g}",
            "holds" if row["within"] else "OUTSIDE",
        ]
        for row in found.table.to_pylist()
    ]  # fmt: skip
    title = f"{len(rows):,} claims, {found.n_outside:,} outside their tolerance"
    print_table(title, ["claim", "expected", "±", "measured", ""], rows)
    sys.stdout.write(clean(str(found.folder / "claims.parquet")) + "\n")
