"""Stored results from strangers: whatever is in them, a clear answer with exit code 2.

Each attack damages a whole result or sweep and asks everything of it that is asked of stored
things. Where an answer needs nothing of what is damaged, it may also be the right one (0).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.results import open_result
from gateway.results.records import read_shaped
from tests.attacks.conftest import rewrite_json

DEEP = "[" * 100_000 + "]" * 100_000
Attack = Callable[[Path], object]


def no_json(text: str) -> Callable[[str], Attack]:
    return lambda name: lambda folder: (folder / name).write_text(text)


def of_device(device: str) -> Callable[[str], Attack]:
    def attack(name: str) -> Attack:
        return lambda folder: [(folder / name).unlink(), (folder / name).symlink_to(device)]

    return attack


def pipe(name: str) -> Attack:
    return lambda folder: [(folder / name).unlink(), os.mkfifo(folder / name)]


def directory(name: str) -> Attack:
    return lambda folder: [(folder / name).unlink(), (folder / name).mkdir()]


def changed(name: str, **values: object) -> Attack:
    return lambda folder: rewrite_json(folder / name, **values)


FILES: dict[str, Callable[[str], Attack]] = {
    "empty": no_json(""),
    "torn": no_json('{"format": "gateway resu'),
    "a list": no_json("[1, 2]"),
    "null": no_json("null"),
    "a number": no_json("1e999"),
    "not a number": no_json('{"model_version": NaN}'),
    "nested deeply": no_json(DEEP),
    "not text": lambda name: lambda folder: (folder / name).write_bytes(b"\xff\xfe\x00"),
    "pipe": pipe,
    "zeros": of_device("/dev/zero"),
    "folder": directory,
    "huge": lambda name: lambda folder: os.truncate(folder / name, 2**40),
}
STATUS: dict[str, Attack] = {
    "files are a list": changed("status.json", files=["a"]),
    "files lead out": changed("status.json", files={"../../etc/passwd": "0" * 64}),
    "files are absolute": changed("status.json", files={"/etc/passwd": "0" * 64}),
    "files nowhere": changed("status.json", files={"nothing.parquet": "0" * 64}),
    "digests are no digests": changed("status.json", files={"gateways.parquet": 7}),
    "written leads out": changed("status.json", written=["../x", "/etc/passwd", 3, None]),
    "state is a list": changed("status.json", state=[]),
    "kind is a table": changed("status.json", kind={}),
    "time is text": changed("status.json", wall_seconds="long"),
    "version is text": changed("provenance.json", model_version="4"),
    "version is a list": changed("provenance.json", model_version=[4]),
    "finished is a number": changed("provenance.json", finished=5),
    "finished is no time": changed("provenance.json", finished="yesterday"),
    "finished in no zone": changed("provenance.json", finished="2026-01-01T00:00:00"),
    "finished before time": changed("provenance.json", finished="0001-01-01T00:00:00+14:00"),
    "seconds are text": changed("provenance.json", compute_seconds="many"),
    "seconds are endless": changed("provenance.json", compute_seconds=1e300),
    "packages are a list": changed("provenance.json", packages=["numpy"]),
    "packages are nested": changed("provenance.json", packages={"numpy": {"a": []}}),
    "memory is text": changed("provenance.json", peak_memory_mib="much"),
    "cores are a table": changed("provenance.json", cores={}),
}


def rewritten(name: str, change: Callable[[pa.Table], pa.Table]) -> Attack:
    """Change a table, and its digest with it: the stranger is no fool."""

    def attack(folder: Path) -> None:
        path = folder / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)
        files = json.loads((folder / "status.json").read_text())["files"]
        if path.name in files:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rewrite_json(folder / "status.json", files={**files, path.name: digest})

    return attack


def without(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([column])


def filled(column: str, kind: pa.DataType, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(column)
        return table.set_column(place, column, pa.array([value] * len(table), kind))

    return change


def twice(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column(column, table[column])


def headless(table: pa.Table) -> pa.Table:
    return table.drop_columns(table.column_names[:1])


def no_rows(table: pa.Table) -> pa.Table:
    return table.slice(0, 0)


def backwards(table: pa.Table) -> pa.Table:
    return table.take(list(range(len(table)))[::-1])


def doubled(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table])


TABLES: dict[str, Attack] = {
    "no parquet": lambda folder: (folder / "gateways.parquet").write_bytes(b"PAR1 no PAR1"),
    "another's digest": lambda folder: pq.write_table(
        pq.read_table(folder / "gateways.parquet").slice(1), folder / "gateways.parquet"
    ),
    "no detector": rewritten("gateways", without("detector")),
    "no rank": rewritten("gateways", without("rank")),
    "rank is text": rewritten("gateways", filled("rank", pa.string(), "first")),
    "rank is endless": rewritten("gateways", filled("rank", pa.float64(), float("inf"))),
    "ranks of nobody": rewritten("gateways", filled("rank", pa.int32(), None)),
    "unknown detector": rewritten("gateways", filled("detector", pa.string(), "nobody's")),
    "detector is null": rewritten("gateways", filled("detector", pa.string(), None)),
    "group is null": rewritten("gateways", filled("group", pa.string(), None)),
    "groups are lists": rewritten("gateways", filled("group", pa.list_(pa.string()), ["a"])),
    "score is text": rewritten("gateways", filled("score", pa.string(), "1")),
    "flags are text": rewritten("gateways", filled("flagged", pa.string(), "yes")),
    "flags are null": rewritten("gateways", filled("flagged", pa.bool_(), None)),
    "joiners are null": rewritten("gateways", filled("n_joiners", pa.int64(), None)),
    "a column twice": rewritten("gateways", twice("rank")),
    "no gateways": rewritten("gateways", no_rows),
    "gateways twice": rewritten("gateways", doubled),
    "gateways backwards": rewritten("gateways", backwards),
    "no groups": rewritten("groups", no_rows),
    "groups twice": rewritten("groups", doubled),
    "unknown role": rewritten("groups", filled("role", pa.string(), "nobody's")),
    "no role": rewritten("groups", without("role")),
    "size is negative": rewritten("groups", filled("size", pa.int64(), -5)),
    "size is text": rewritten("groups", filled("size", pa.string(), "5")),
    "no summary": rewritten("summary", no_rows),
    "summary of one key": rewritten("summary", filled("key", pa.string(), "n_users")),
    "counts are words": rewritten("summary", filled("value", pa.string(), "many")),
    "summary is null": rewritten("summary", filled("value", pa.string(), None)),
    "no metric": rewritten("evaluation", without("metric")),
    "value is text": rewritten("evaluation", filled("value", pa.string(), "1")),
    "values are endless": rewritten("evaluation", filled("value", pa.float64(), float("inf"))),
    "values are undefined": rewritten("evaluation", filled("value", pa.float64(), float("nan"))),
    "metric is null": rewritten("evaluation", filled("metric", pa.string(), None)),
    "evaluation twice": rewritten("evaluation", doubled),
    "no effects": rewritten("truth", without("direct_effect")),
    "effects are text": rewritten("truth", filled("direct_effect", pa.string(), "1")),
    "curves of nothing": rewritten("curves", no_rows),
    "curves without places": rewritten("curves", without("position")),
    "probabilities of seven": rewritten("curves", filled("after", pa.float64(), 7.0)),
    "panels are text": rewritten("curves", filled("panel", pa.string(), "x")),
    "bins without numbers": rewritten("reliability", without("n")),
    "study without offsets": rewritten("event_study", without("offset")),
    "arms without names": rewritten("interventions", without("arm")),
    "months are numbers": rewritten("strikes", filled("month", pa.int64(), 3)),
    "signals without names": rewritten("analyses/comparison", headless),
    "labels of nothing": rewritten("analyses/label_times", headless),
    "paths of nothing": rewritten("analyses/pathways", headless),
}
ATTACKS = {
    **{f"{name}: {kind}": attack(name) for name in ("status.json", "provenance.json", "config.toml")
       for kind, attack in FILES.items()},
    **{f"gateways.parquet: {kind}": FILES[kind]("gateways.parquet")
       for kind in ("empty", "pipe", "zeros", "folder", "huge")},
    **STATUS,
    **TABLES,
}  # fmt: skip


def ask_result(answer, result: Path, other: Path) -> None:
    for words in (
        ("status", result), ("compare", result, other), ("export", result, "--ro-crate"),
        ("explain", result, "no such group"), ("figures", result),
    ):  # fmt: skip
        code, said = answer(*words)
        assert code in ({0, 2} if words[0] != "explain" else {2}), (words, said)
        assert code == 0 or said.startswith("error: "), (words, said)


@pytest.mark.parametrize("attack", ATTACKS)
def test_result__of_a_stranger_is_answered(answer, result, made, attack):
    ATTACKS[attack](result)
    ask_result(answer, result, made["result"])


@pytest.mark.slow
@pytest.mark.parametrize("attack", TABLES)
def test_result__of_a_stranger_is_answered_with_every_figure_drawn(answer, result, made, attack):
    TABLES[attack](result)
    ask_result(answer, result, made["result"])


# Sweeps ----------------------------------------------------------------------------------------


def line(**facts: object) -> str:
    return json.dumps({"time": "2026-01-01T00:00:00+00:00", "event": "started", **facts})


def journal(*lines: str) -> Attack:
    return lambda folder: (folder / "execution.jsonl").write_text("\n".join(lines))


def of_a_point(attack: Attack) -> Attack:
    return lambda folder: attack(next((folder / "points").iterdir()))


def failed(text: str) -> Attack:
    def attack(folder: Path) -> None:
        place = folder / "failed" / "0123456789abcdef"
        place.mkdir(parents=True)
        (place / "status.json").write_text(text)

    return attack


def on_its_own(name: str, change: Callable[[pa.Table], pa.Table]) -> Attack:
    def attack(folder: Path) -> None:
        path = folder / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return attack


SWEEPS: dict[str, Attack] = {
    **{f"{name}: {kind}": attack(name)
       for name in ("execution.jsonl", "sweep.toml", "lock", "evaluation.parquet")
       for kind, attack in FILES.items()},
    **{f"a point's status: {kind}": of_a_point(attack("status.json"))
       for kind, attack in FILES.items()},
    "lines are lists": journal("[1]", "null", "3"),
    "lines are deep": journal(DEEP),
    "no time": journal('{"event": "started", "point": "a"}'),
    "time is a number": journal(line(time=5, point="a")),
    "time in no zone": journal(line(time="2026-01-01T00:00:00", point="a")),
    "time before time": journal(line(time="0001-01-01T00:00:00+14:00", point="a")),
    "time to come": journal(
        line(event="sweep_started"),
        line(time="2999-01-01T00:00:00+00:00", point="a", worker="pid 1", pid=1),
    ),
    "no point": journal(line(worker="pid 1", pid=1)),
    "point is a list": journal(line(point=[], worker="pid 1")),
    "no worker": journal(line(point="a")),
    "process is text": journal(line(point="a", worker="pid 1", pid="1; rm")),
    "process leads out": journal(line(point="a", worker="pid 1", pid=-1)),
    "peak is text": journal(line(event="finished", point="a", worker_peak_mib="9")),
    "peak is endless": journal(line(event="finished", point="a", worker_peak_mib=1e300)),
    "journal is a link": of_device("/etc/passwd")("execution.jsonl"),
    "reason is a table": failed('{"format": "gateway result, 1", "kind": "failure", "reason": {}}'),
    "failure is torn": failed('{"for'),
    "a point that leads out": of_a_point(changed("status.json", files={"../../x": "0" * 64})),
    "evaluation without metric": on_its_own("evaluation", without("metric")),
    "evaluation without seeds": on_its_own("evaluation", without("seed")),
    "evaluation without the swept key": on_its_own("evaluation", without("world.users")),
    "seeds are text": on_its_own("evaluation", filled("seed", pa.string(), "1")),
    "no rows": on_its_own("evaluation", no_rows),
    "points without keys": on_its_own("points", without("key")),
}  # fmt: skip


@pytest.mark.parametrize("attack", SWEEPS)
def test_sweep__of_a_stranger_is_answered(answer, sweep, made, attack):
    SWEEPS[attack](sweep)
    for words in (
        ("status", sweep), ("compare", sweep, made["sweep"]), ("figures", sweep),
    ):  # fmt: skip
        code, said = answer(*words)
        assert code in {0, 2}, (words, said)
        assert code == 0 or said.startswith("error: "), (words, said)


# What is right ---------------------------------------------------------------------------------


def test_shapes__are_those_of_the_tables_that_are_written(made, tmp_path):
    """Of a result, and of the schemas by which others are written."""
    from gateway.analyses import COMPARISON_SCHEMA, PATHWAYS_SCHEMA
    from gateway.analyses.explanation import EXPLANATIONS_SCHEMA
    from gateway.check.summary import CHECK_SCHEMA
    from gateway.counterfactual import arms
    from gateway.evaluate import EVALUATION_SCHEMA

    written = {
        "analyses/comparison": COMPARISON_SCHEMA, "analyses/pathways": PATHWAYS_SCHEMA,
        "explanations": EXPLANATIONS_SCHEMA, "check": CHECK_SCHEMA,
        "evaluation": EVALUATION_SCHEMA, "interventions": arms._ARM_SCHEMA,
        "intervention_sources": arms._SOURCE_SCHEMA,
    }  # fmt: skip
    (tmp_path / "analyses").mkdir()
    for name, schema in written.items():
        pq.write_table(schema.empty_table(), tmp_path / f"{name}.parquet")
        assert read_shaped(tmp_path, name).schema.equals(schema)
    result = open_result(made["result"])
    assert set(result.table_names) > {"groups", "gateways", "curves", "truth", "strikes"}
    for name, table in result.tables().items():
        assert table.equals(pq.read_table(made["result"] / f"{name}.parquet"))
