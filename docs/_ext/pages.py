"""Parts of the site that are made from what they describe: config, commands, tables, results.

Each function returns Markdown; ``write_pages`` writes all of them for the pages to include.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import typer

import gateway
from gateway.cli.app import app
from gateway.config import Config
from gateway.config.shape import say_rule, sections
from gateway.detect import REGISTRY, measure_of
from gateway.report.sections.top_groups import ranked_columns
from gateway.reproduce import claims_as_markdown, read_claims
from gateway.wording import MISSING, decimal, is_missing

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
from paper import gather

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "results" / "reference" / "quickstart"


def write_pages(folder: Path) -> None:
    """Write every fragment, leaving alone what has not changed: Sphinx goes by time."""
    folder.mkdir(exist_ok=True)
    for make in (api, command_line, config, tables, claims, quickstart, studies, note):
        file, text = folder / f"{make.__name__}.md", make()
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


# Reference -------------------------------------------------------------------------------


def api() -> str:
    """Return the public names, in the order of ``__all__``, for autodoc."""
    parts = []
    for name in gateway.__all__:
        if name == "__version__":
            continue
        found = getattr(gateway, name)
        if inspect.ismodule(found):
            found = importlib.import_module(f"gateway.{name}").__call__
        kind = "class" if inspect.isclass(found) else "function"
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: gateway.{name}\n```\n")
    return "\n".join(parts)


def command_line() -> str:
    """Return every command with its arguments and options."""
    group = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        options = [option for option in command.params if not option.hidden]
        rows = [_option(option) for option in options if option.name != "help"]
        usage = " ".join(_usage(option) for option in options if option.param_type_name != "option")
        parts += [f"## gateway {name}", command.help or "", f"```\ngateway {name} {usage}".rstrip()]
        parts[-1] += " [OPTIONS]\n```"
        parts.append(_table(("argument, option", "", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def _usage(option: Any) -> str:
    text = (option.metavar or option.name).upper()
    return text if option.required else f"[{text}]"


def _option(option: Any) -> tuple[str, str, str]:
    if option.param_type_name == "option":
        names = ", ".join(f"`{name}`" for name in option.opts)
    else:
        names = f"`{_usage(option)}`"
    kind = "" if getattr(option, "is_flag", False) else (option.metavar or "")
    default = option.default
    is_said = isinstance(default, int | float | str) and not isinstance(default, bool)
    shown = f"; default: {default}" if is_said and option.show_default else ""
    return names, kind, f"{getattr(option, 'help', None) or ''}{shown}"


def config() -> str:
    """Return every section of a config with its keys, rules, defaults and meanings."""
    parts = []
    for path, node in sections(Config):
        if not path:
            continue
        name = ".".join("" if isinstance(part, int) else part for part in path).rstrip(".")
        is_array = any(isinstance(part, int) for part in path)
        head = f"## [[{name}]]" if is_array else f"## [{name}]"
        rows = [
            (f"`{key}`", _default(value, key in node.get("required", ())), _rule(value),
             value.get("description", ""))
            for key, value in node["properties"].items()
            if "properties" not in value and "$ref" not in value
        ]  # fmt: skip
        parts += [head, node.get("description", "")]
        if rows:
            parts.append(_table(("key", "default", "rule", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


# Modules whose ``..._SCHEMA`` is that of a stored table, and the table's name there.
_SCHEMAS = {
    "evaluation": ("gateway.evaluate.ranking", "EVALUATION_SCHEMA"),
    "curves": ("gateway.analyses.curves", "CURVES_SCHEMA"),
    "event_study": ("gateway.analyses.curves", "EVENT_STUDY_SCHEMA"),
    "explanations": ("gateway.analyses.explanation", "EXPLANATIONS_SCHEMA"),
    "analyses/comparison": ("gateway.analyses.published", "COMPARISON_SCHEMA"),
    "analyses/pathways": ("gateway.analyses.join_sources", "PATHWAYS_SCHEMA"),
    "check": ("gateway.check.summary", "CHECK_SCHEMA"),
    "claims": ("gateway.reproduce.judging", "CLAIMS_SCHEMA"),
}


def tables() -> str:
    """Return the columns of the stored tables: of every detector by its measure, then others."""
    parts = []
    for name in REGISTRY:
        measure = measure_of(name)
        columns = ranked_columns(measure)
        rows = [(f"`{key}`", column.label, column.title) for key, column in columns.items()]
        parts += [f"### {name}", _table(("column", "in reports", "meaning"), rows)]
    text = "\n\n".join(parts)
    for name, (module, constant) in _SCHEMAS.items():
        schema = getattr(importlib.import_module(module), constant)
        rows = [(f"`{field.name}`", f"{field.type}") for field in schema]
        text += f"\n\n## {name}.parquet\n\n{_table(('column', 'type'), rows)}"
    return text + "\n"


def _rule(node: Any) -> str:
    return say_rule(node) if set(node) & {"type", "enum", "const", "x-rule", "$ref"} else ""


def _default(node: Any, required: bool) -> str:
    if required:
        return "required"
    default = node.get("default")
    if default is None or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


# Results ---------------------------------------------------------------------------------


def claims() -> str:
    """Return the table of claims, as ``gateway reproduce --list`` prints it."""
    return claims_as_markdown(read_claims(ROOT / "claims.toml"))


_MEASURES = {
    "average_precision": "average precision",
    "precision_at_50": "precision at 50",
    "recall_at_50": "recall at 50",
    "share_homophily_at_50": "homophily look-alikes in the top 50",
    "share_hub_at_50": "hubs in the top 50",
    "share_ordinary_at_50": "ordinary groups in the top 50",
    "n_flagged": "groups flagged",
    "precision_flagged": "planted gateways among them",
    "false_share_q10": "false among those called at q < .10",
}
_SCORER = {
    "auc": "AUC",
    "auc_without_groups": "AUC by joins so far and calendar alone",
    "auc_joins_so_far": "AUC by joins so far alone",
    "auc_last_group": "AUC by the last group alone",
    "base_rate": "base rate",
}


def quickstart() -> str:
    """Return the quickstart's measures from its stored reference."""
    rows = pq.read_table(QUICKSTART / "evaluation.parquet").to_pylist()
    stored = {(row["detector"], row["truth"], row["metric"]): row for row in rows}
    names = [name for name in dict.fromkeys(r["detector"] for r in rows) if ":" not in name]
    table = _table(
        ("against the planted gateways", *(f"`{name}`" for name in names)),
        [
            (words, *(_interval(stored[name, "planted", metric]) for name in names))
            for metric, words in _MEASURES.items()
        ],
    )
    direct = _table(
        ("against clear direct effects (replay)", *(f"`{name}`" for name in names)),
        [
            (words, *(_interval(stored[name, "direct", metric]) for name in names))
            for metric, words in {
                "average_precision": "average precision", "ndcg": "nDCG",
                "recall_at_50": "recall at 50",
            }.items()
        ],
    )  # fmt: skip
    scorer = next(name for name in dict.fromkeys(r["detector"] for r in rows) if ":" in name)
    scored = _table(
        ("the scorer", f"`{scorer.partition(':')[2]}`"),
        [
            (words, _interval(stored[scorer, "outcome", metric]))
            for metric, words in _SCORER.items()
        ],
    )
    summary = pq.read_table(QUICKSTART / "summary.parquet").to_pylist()
    told = {row["key"]: row["value"] for row in summary}
    said = ("target_rule", "information", "agreement", "verdict")
    lines = "\n".join(f"- {line}" for key in said for line in told[key].split("\n"))
    return f"{table}\n\n{direct}\n\n{scored}\n\nWhat the run says of itself:\n\n{lines}\n"


_NOTE = {
    "numbers": ("", "number", "published", "with gateways: 90 % band", "without",
                "from the others, with", "without", "log10 Bayes factor", "could tell"),
    "claims": ("numbers", "gateways", "look-alikes", "look-alikes, without gateways"),
    "events": ("event", "hypothesis", "worlds", "90 % interval of the share"),
    "held_out": ("", "number", "published", "with gateways: mean (sd)", "without: mean (sd)",
                 "difference ± SE"),
    "parameters": ("parameter", "prior", "with gateways", "without"),
}  # fmt: skip


def note() -> str:
    """Return the fit of the note's numbers: its tables and what it says in numbers, by marks."""
    stored = gather()
    made = {name: _table(head, stored["tables"].get(name, ())) for name, head in _NOTE.items()}
    macro = stored["macros"]
    said = {
        "worlds": "fit.worlds.whole", "users of each": "fit.users.whole",
        "rounds": "fit.rounds.whole", "processor seconds": "fit.cpu_seconds.whole",
        "version of the model": "fit.model_version.whole",
        "parameters": "fit.parameters.whole", "fitted numbers": "fit.fitted.whole",
        "of them inside the 90 % band, with gateways": "fit.inside.all, fitted.whole",
        "inside, without gateways": "fit.inside.no gateways, fitted.whole",
        "inside, predicted from the others, with gateways": "fit.inside.all, others.whole",
        "the same, without": "fit.inside.no gateways, others.whole",
        "full-size worlds held out": "held_out.all.worlds",
        "numbers that they have too": "held_out.judged",
        "of them with a mean within the tolerance, with gateways": "held_out.all.within",
        "the same, without gateways": "held_out.no gateways.within",
        "coverage of 90 % intervals of parameters in worlds held out":
            "fit.coverage_90_parameters.percent",
        "of 50 % intervals": "fit.coverage_50_parameters.percent",
        "of 90 % bands of numbers": "fit.coverage_90_numbers.percent",
        "numbers that speak for gateways, given the others": "tell.for",
        "numbers that speak against": "tell.against",
        "numbers that could be expected to speak, were gateways there": "could.list",
    }  # fmt: skip
    made["said"] = _table(
        ("", ""), [(words, macro.get(key, MISSING)) for words, key in said.items()]
    )
    return "\n".join(f"<!-- {name} -->\n\n{text}\n\n<!-- end -->\n" for name, text in made.items())


_LAWS = ("verification", "table.csv", ("law", "test", "n", "statistic", "p_value"))
_SHAPES = ("shapes", "table.csv", ("log", "statistic", "published", "simulated", "sd", "ratio",
                                   "allowed", "verdict"))  # fmt: skip
_ARMS = ("averted", "benign_lost", "cost")
_BENCHMARK = ("average_precision", "precision_at_50", "recall_at_100",
              "share_homophily_at_100", "false_share_q10")  # fmt: skip


def studies() -> str:
    """Return tables of the stored studies, a fragment each, between marks."""
    made = {"benchmark": _benchmark(), "interventions": _interventions()} | _mechanisms()
    for folder, file, columns in (_LAWS, _SHAPES):
        rows = _csv(folder, file)
        made[folder] = _table(columns, [[row[key] for key in columns] for row in rows])
    return "\n".join(f"<!-- {name} -->\n\n{text}\n\n<!-- end -->\n" for name, text in made.items())


def _csv(folder: str, file: str) -> list[dict[str, str]]:
    text = (ROOT / "results" / "reference" / folder / file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _benchmark() -> str:
    rows = [row for row in _csv("benchmark", "benchmark.csv") if row["truth"] == "planted"]
    stored = {(row["detector"], row["metric"]): row for row in rows}
    names = dict.fromkeys(row["detector"] for row in rows)
    shown = [key for key in _BENCHMARK if any(metric == key for _, metric in stored)]
    head = ("detector", *(key.replace("_", " ") for key in shown))
    return _table(
        head,
        [(f"`{name}`", *(_bounded(stored.get((name, key))) for key in shown)) for name in names],
    )


def _interventions() -> str:
    rows = _csv("interventions", "interventions.csv")
    head = ("arm", "groups", "target joins averted", "benign joins lost", "lost for each averted")
    return _table(
        head,
        [
            (row["arm"], row["n_groups"],
             *(_bounded({"value": row[key], "ci_low": row[f"{key}_low"],
                         "ci_high": row[f"{key}_high"]}, digits=1) for key in _ARMS))
            for row in rows
        ],
    )  # fmt: skip


_CALLS = ("found", "called", "false by role", "false by replay", "named")


def _mechanisms() -> dict[str, str]:
    """Return average precision by detector and kind of world, what is called, plans, designs."""
    rows = _csv("mechanisms", "mechanisms.csv")
    at = {(row["kind"], row["detector"], row["measure"]): row for row in rows}

    def cell(*key: str) -> str:
        row = at.get(key)
        told = row is not None and row["value"] not in ("", "nan")
        return f"{float(row['value']):.2f} ± {float(row['se']):.2f}" if row and told else MISSING

    kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind != "none"]
    names = [row["detector"] for row in rows if row["measure"] == "ap" and row["kind"] == kinds[0]]
    precision = [
        (f"`{n}`", *(cell(kind, n, "ap") for kind in kinds)) for n in names if "," not in n
    ]
    calls = [
        (kind, cell(kind, "caused", "caused"), *(cell(kind, "verdict", key) for key in _CALLS))
        for kind in (*kinds, "none")
    ]
    strict = [
        (kind, *(cell(kind, name, key) for name in ("edges", "edges, least ratio 2")
                 for key in ("found", "called", "false by role", "false by replay")))
        for kind in (*kinds, "none")
    ]  # fmt: skip
    plans = [
        (row["plan"], row["budget"], f"{float(row['n']):.1f}",
         *(_bounded({"value": row[key], "ci_low": row[f"{key}_low"],
                     "ci_high": row[f"{key}_high"]}, digits=1) for key in _ARMS))
        for row in _csv("mechanisms", "plans.csv")
    ]  # fmt: skip
    designs = [
        (row["design"], *(f"{float(row[key]):.0f}" for key in ("units", "truth", "estimate")),
         _bounded({"value": row["bias"], "ci_low": row["bias_low"], "ci_high": row["bias_high"]},
                  digits=0),
         *(f"{float(row[key]):.0f}" for key in ("sd", "error", "detectable")),
         f"{float(row['power']):.2f}")
        for row in _csv("mechanisms", "designs.csv")
    ]  # fmt: skip
    of = ("found", "called", "false by role", "false by replay")
    return {
        "mechanisms": _table(("detector", *kinds), precision),
        "verdict": _table(("worlds", "caused", *_CALLS), calls),
        "least ratio": _table(
            ("worlds", *(f"{x}, 1.5" for x in of), *(f"{x}, 2" for x in of)), strict
        ),
        "plans": _table(("plan", "budget", "acted on", "target joins averted",
                         "benign joins lost", "lost for each averted"), plans),
        "designs": _table(("units drawn", "number", "truth", "estimate", "bias", "sd",
                           "stated error", "found with power .8", "called"), designs),
    }  # fmt: skip


def _bounded(row: dict[str, str] | None, *, digits: int = 2) -> str:
    ends = [] if row is None else [row["value"], row["ci_low"], row["ci_high"]]
    if not ends or not all(ends):
        return MISSING
    value, low, high = (decimal(float(end), digits=digits) for end in ends)
    return f"{value} ({low} to {high})"


def _interval(row: dict[str, Any]) -> str:
    is_count = row["metric"].startswith("n_")
    value, low, high = (
        MISSING if is_missing(x) else decimal(x, digits=0 if is_count else 3)
        for x in (row["value"], row["ci_low"], row["ci_high"])
    )
    return value if low == MISSING else f"{value} ({low} to {high})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|").replace("<", r"\<")
