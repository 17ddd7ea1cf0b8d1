"""Tables for a paper: what LaTeX would read, and that names cannot speak to it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gateway.report.content import Body, Cell, Column, Row, Table
from gateway.report.latex import escape, render_tabular, tex_tables
from tests.result_tables import HOSTILE, claim_tables, result_tables, with_rivals
from tests.study_tables import sweep_evaluation

NASTY = (
    r"\input{/etc/hosts} \write18{x}",
    "100 % & more # _ ^ ~ { } $x$",
    "[2em] *star* | `tick` -- ---",
    "a % comment\nand a line",
    "\\",
    "",
)


def everything() -> dict[str, str]:
    return tex_tables({**with_rivals(result_tables(names=HOSTILE, n_groups=300)), **claim_tables()})


def test_tex_tables__are_one_file_for_each_table_and_detector() -> None:
    expected = {
        "claims-table", "claims-R1", "claims-R3", "claims-R10", "ranked-spike",
        "ranked-self_controlled", "compared-planted",
        "metrics-spike", "metrics-self_controlled", "dose-response-averted",
        "dose-response-lost", "scorer-metrics", "target-groups", "benchmark-planted",
        "benchmark-direct", "arms", "displacement", "verdict-groups",
    }  # fmt: skip
    got = set(everything())
    assert expected <= got
    others = {key for key in got - expected if not key.startswith("benchmark-table-")}
    assert all(re.fullmatch(r"claims-R\d+", key) for key in others)


def test_tex_tables__hold_each_claim_by_itself() -> None:
    got = everything()
    assert "gysj, requests" in got["claims-R1"]
    assert "exposed" not in got["claims-R1"]
    assert r"\multicolumn" not in got["claims-R1"]
    parts = [text for key, text in got.items() if re.fullmatch(r"claims-R\d+", key)]
    rows = [line for text in parts for line in text.splitlines() if line.endswith(r"\\")]
    whole = [line for line in got["claims-table"].splitlines() if line in rows]
    assert len(whole) == len(rows) - len(parts) + 1  # one head instead of one each


def test_tex_tables__hold_the_top_groups_in_order() -> None:
    tables = result_tables(n_groups=300)
    got = tex_tables(tables, top=12)["ranked"]
    body = got[got.index(r"\midrule") : got.index(r"\bottomrule")]
    ranked = tables["gateways"].slice(0, 12)["group"].to_pylist()
    assert re.findall(r"group \d+", body) == ranked


def test_tex_tables__of_a_sweep_are_the_means_over_its_seeds() -> None:
    evaluation = sweep_evaluation(np.random.default_rng(1), swept=False)
    got = tex_tables({"evaluation": evaluation})
    long = {f"benchmark-table-{key}" for key in ("average_precision", "precision_at_50")}
    assert set(got) == {"benchmark-planted"} | long
    assert tex_tables({"evaluation": sweep_evaluation(np.random.default_rng(1))}) == {}


@pytest.mark.parametrize("name", [*HOSTILE, *NASTY])
def test_escape__leaves_no_command_but_our_own(name: str) -> None:
    got = escape(name)
    assert "\n" not in got
    ours = r"\\(text\w+\{\}|ldots\{\}|[&%$#_{}])"
    bare = re.sub(ours, "", got).replace("$<$", "").replace("$>$", "")
    bare = re.sub(r"\{[\[*]?\}", "", bare).replace("$-$", "")
    assert not re.search(r"[\\&%$#_^{}\[*]", bare)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[0.1, 0.2]\N{NO-BREAK SPACE}%", r"{[}0.1, 0.2]~\%"),
        ("−1.5", "$-$1.5"),
        ("a--b---c", "a-{}-b-{}--c"),
        ("Ærø Łódź", "Ærø Łódź"),
        ("日本\u202e🎉", "???"),
        ("  a \t b ", "a b"),
    ],
)
def test_escape__prints_what_was_written(given: str, expected: str) -> None:
    assert escape(given) == expected


def test_render_tabular__has_as_many_cells_in_every_row() -> None:
    for text in everything().values():
        kinds = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
        assert kinds is not None
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert rows
        for row in rows:
            cells = len(re.findall(r"(?<!\\)&", row)) + 1
            assert cells == len(kinds[1]) or row.startswith(r"\multicolumn")


def test_render_tabular__keeps_a_caption_in_its_comment() -> None:
    table = Table("t", "One\n\\input{x}", [Column("y")], [Body([Row([Cell("1")])])])
    assert [line for line in render_tabular(table).splitlines() if "input" in line] == [
        r"% One \input{x}"
    ]


def test_tex_tables__are_the_same_bytes_twice() -> None:
    assert everything() == everything()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tex_tables__compile(tmp_path: Path) -> None:
    rows = [Row([Cell(name), Cell(name)]) for name in (*HOSTILE, *NASTY)]
    nasty = Table("nasty", "Names", [Column("a_b"), Column("c")], [Body(rows, r"\h_ %")])
    parts = [*everything().values(), render_tabular(nasty)]
    head = r"\documentclass{article}\usepackage[a2paper,landscape]{geometry}\usepackage{booktabs}"
    body = "\n\n\\clearpage\n".join(parts)
    text = f"{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
