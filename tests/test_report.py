"""The report: what it says, what it lets through, and that it stands alone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import gateway.report.page
from gateway.detect import DETECTORS, measure_of
from gateway.errors import ResultError
from gateway.figures import FIGURES, render
from gateway.figures.style import FAINT, INK, MUTED, PAPER, RULE
from gateway.figures.style import role as figure_role
from gateway.report import render_report, tex_tables
from gateway.report.content import Section, Table, role
from gateway.report.latex import escape
from gateway.report.page import COLOURS, inline_svg, provenance_rows
from gateway.report.sections import SECTIONS
from gateway.report.sections.evaluation import evaluation, metric
from gateway.report.sections.explanations import explained
from gateway.report.sections.note_claims import claims
from gateway.report.sections.top_groups import ranking, verdict
from gateway.report.summary import CAVEAT, Result, Tile, confusion, lede, tiles
from gateway.wording import MISSING, name, scorer_shortfalls, share
from tests.result_tables import HOSTILE, claim_tables, result_tables, with_rivals

CONFIG = '[experiment]\nname = "quickstart" # <b>not bold</b>\n'
PROVENANCE = {
    "gateway_version": "0.1.0",
    "packages": {"numpy": "2.4.0", "numba": "0.63.0"},
    "commit": None,
    "dirty": False,
    "wall_seconds": 41.23456,
    "cpu": "<i>fast</i>",
}
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """A report taken apart: elements with attributes, and the text of each element kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.unbalanced = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
            self.words.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced += 1

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.words[tag][-1] += data

    def attributes(self, *keys: str) -> list[str]:
        return [value for _, given in self.elements for key, value in given.items() if key in keys]

    def tags(self, tag: str) -> list[dict[str, str]]:
        return [given for found, given in self.elements if found == tag]


@cache
def tables(kind: str) -> Mapping[str, pa.Table]:
    if kind == "hostile":
        return result_tables(names=HOSTILE, n_groups=300)
    return result_tables(truth=kind == "simulated", n_groups=300)


@cache
def figures(kind: str) -> Mapping[str, tuple[str, str]]:
    drawn = {}
    for figure in FIGURES:
        data = figure.plotted(tables(kind))
        if data is not None:
            svg = render(figure.draw(data), kinds=["svg"])["svg"].decode()
            drawn[figure.NAME] = (svg, figure.caption(data))
    return drawn


@cache
def report(kind: str) -> str:
    return make_report(tables(kind), figures(kind))


@cache
def page(kind: str) -> Page:
    return Page(report(kind))


def make_report(
    given: Mapping[str, pa.Table],
    drawn: Mapping[str, tuple[str, str]] | None = None,
    **options: Any,
) -> str:
    said = {"config_toml": CONFIG, "provenance": PROVENANCE, "title": "Gateway groups"}
    return render_report(given, drawn or {}, **{**said, **options})


def with_metric(metric: str, value: float) -> dict[str, pa.Table]:
    evaluation = tables("simulated")["evaluation"]
    rows = [
        {**row, "value": value if row["metric"] == metric else row["value"]}
        for row in evaluation.to_pylist()
    ]
    changed = pa.Table.from_pylist(rows, schema=evaluation.schema)
    return {**tables("simulated"), "evaluation": changed}


def without_metric(*metrics: str) -> dict[str, pa.Table]:
    evaluation = tables("simulated")["evaluation"]
    left = evaluation.filter(pc.invert(pc.is_in(evaluation["metric"], pa.array(metrics))))
    return {**tables("simulated"), "evaluation": left}


each_kind = pytest.mark.parametrize("kind", ["simulated", "real", "hostile"])


# Contents -------------------------------------------------------------------------------


def test_report__has_its_parts_in_order() -> None:
    text = report("simulated")
    parts = ["<h1>", "Simulated log", 'class="tiles"', "<figure", 'class="sortable"']
    parts += [f'id="{part}"' for part in ("evaluation", "scorer", "targets", "config")]
    parts.append('id="provenance"')
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


@each_kind
def test_report__holds_every_caption(kind: str) -> None:
    assert page(kind).words["figcaption"] == [caption for _, caption in figures(kind).values()]


@each_kind
def test_report__is_small(kind: str) -> None:
    assert len(report(kind).encode()) < 3_000_000


@each_kind
def test_report__prints_no_missing_number(kind: str) -> None:
    words = " ".join(page(kind).words["body"])
    assert not re.search(r"\b(nan|None|null|inf)\b", words.replace("onerror", ""))


def test_report__is_the_same_text_twice() -> None:
    again = make_report(tables("simulated"), figures("simulated"))
    assert again == report("simulated")


def test_report__copes_with_an_empty_result() -> None:
    got = Page(make_report({}))
    assert got.unbalanced == 0
    assert MISSING in got.words["p"][0]
    assert any(text.startswith("No group is ranked;") for text in got.words["p"])


def test_summary__gives_size_targets_scorer_and_ranking() -> None:
    got = page("simulated").words["header"][0]
    average_precision = Result(tables("simulated")).planted("average_precision").value
    assert "612,345 joins of 300 groups by 50,000 users, 2020-01-01 to 2021-06-23" in got
    assert "groups based in US with at least 60 strikes for nudity in 2020-03" in got
    assert "horizon 180 days" in got
    assert "AUC of 0.843 (95 % interval [0.835, 0.851])" in got
    assert f"average precision is {average_precision:.3f}" in got


def test_summary__says_what_gateways_are_confused_with() -> None:
    got = confusion(Result(with_metric("share_homophily_at_50", 0.38)))
    assert got.count(". ") == 0
    assert "homophily look-alikes" in got
    assert "38\N{NO-BREAK SPACE}% of its top 50 are homophily look-alikes" in got
    assert confusion(Result(tables("simulated"))) in page("simulated").words["header"][0]


def test_summary__says_when_there_is_no_confusion() -> None:
    got = confusion(Result(with_metric("share_homophily_at_50", 0.0)))
    assert got.startswith("No homophily look-alike")


@pytest.mark.parametrize(
    "result",
    [tables("real"), without_metric("share_homophily_at_50")],
    ids=["real", "metric missing"],
)
def test_summary__claims_no_cause_without_truth(result: Mapping[str, pa.Table]) -> None:
    got = confusion(Result(result))
    assert "association" in got
    assert CAVEAT in got


def test_summary__shows_a_missing_metric_as_a_dash() -> None:
    got = lede(Result(without_metric("auc", "precision_at_50")))
    assert f"AUC of {MISSING};" in got
    assert "the calendar it is" in got
    assert "the calendar it is" not in lede(Result(without_metric("auc_without_groups")))
    assert f"and {MISSING} of its top 50 are gateways" in got


def test_summary__says_when_the_scorer_is_below_a_trivial_predictor() -> None:
    trivial = "the rate of the last group alone tells better who joins a target later"
    assert trivial not in lede(Result(tables("real")))
    got = scorer_shortfalls({"auc": 0.6, "auc_last_group": 0.7, "auc_joins_so_far": 0.6})
    assert got == [f"The scorer is below a trivial predictor: {trivial} (AUC 0.700 against 0.600)."]


def test_summary__says_of_what_the_base_rate_is_a_rate() -> None:
    """A share of joins; the scorer's is one of its predictions, one after each join."""
    rows = [("base_rate", "0.0367"), ("n_targets", "3")]
    keys, values = zip(*rows, strict=True)
    result = Result({"summary": pa.table({"key": keys, "value": values})})
    (got,) = [tile for tile in tiles(result) if "base rate" in tile.label]
    assert got == Tile(
        "base rate of joins", "3.7\N{NO-BREAK SPACE}%", "of joins: a target join follows"
    )
    assert metric("base_rate")[0] == "base rate: share of joins that a target join follows"


def test_verdict__says_what_was_left_out_and_why() -> None:
    why = "spike is left out: at least 2 users must never join a target"
    said = pa.table({"key": ["left_out"], "value": [why]})
    found = verdict(Result({"summary": said}))
    assert found is not None
    assert found.blocks == [f"S{why[1:]}."]


def test_report__of_a_real_log_shows_no_truth() -> None:
    got = page("real")
    assert "evaluation" not in got.attributes("id")
    assert "planted" not in " ".join(got.words["main"])
    assert "meetup_nashville_joins.csv.gz" in got.words["header"][0]


@pytest.mark.parametrize("top", [1, 30, 1_000])
def test_ranking__shows_the_top_groups_in_order(top: int) -> None:
    gateways = tables("simulated")["gateways"]
    expected = [group for group, rank in zip(gateways["group"].to_pylist(),
                gateways["rank"].to_pylist(), strict=True) if rank is not None][:top]  # fmt: skip
    text = make_report(tables("simulated"), top=top)
    body = text[text.index('class="sortable"') : text.index('id="explained"')]
    assert re.findall(r'<th scope="row"[^>]*><bdi>(.*?)</bdi>', body) == expected


def test_ranking__sorts_by_numbers_not_by_their_text() -> None:
    text = report("simulated")
    body = text[text.index('class="sortable"') : text.index('id="explained"')]
    row = body[body.index("<tbody>") :].split("</tr>")[0]
    expected = tables("simulated")["gateways"]["score"][0].as_py()
    values = re.findall(r'data-value="(.*?)"', row)
    assert float(values[3]) == expected
    assert f">{share(expected)}<" in row


def test_ranking__tells_assistive_software_how_it_is_sorted() -> None:
    """Without the script only the order of the page is told, and nothing looks clickable."""
    heads = [given for given in page("simulated").tags("th") if "aria-sort" in given]
    assert [given["aria-sort"] for given in heads] == ["ascending"]
    assert all("hidden" in given for given in page("simulated").tags("button"))


def ranked_tables(result: Mapping[str, pa.Table], *, top: int = 100) -> list[Table]:
    return [block for block in ranking(Result(result, top=top)).blocks if isinstance(block, Table)]


def test_ranking__has_a_table_for_each_detector_and_marks_its_rows() -> None:
    got = ranked_tables(with_rivals(tables("simulated")), top=20)
    assert [(table.key, table.n_rows, table.is_folded) for table in got] == [
        ("ranked-spike", 20, False), ("ranked-self_controlled", 20, True),
    ]  # fmt: skip
    text = Page(make_report(with_rivals(tables("simulated")), top=20))
    rows = [given for given in text.tags("tr") if "data-role" in given]
    assert len(rows) == 40


def test_ranking__has_the_columns_that_a_detector_fills() -> None:
    spike, rival = ranked_tables(with_rivals(tables("simulated")), top=1)
    jump = "mean jump (percentage points)"
    assert jump in [column.label for column in spike.columns]
    assert jump not in [column.label for column in rival.columns]


@pytest.mark.parametrize("detector", DETECTORS)
def test_ranking__heads_the_estimate_with_its_unit(detector: str) -> None:
    """In the page, and on several lines in LaTeX, as the detector's measure declares."""
    (table,) = ranked_tables(renamed(detector), top=3)
    measure = measure_of(detector)
    labels = [column.label for column in table.columns]
    assert measure.estimate.axis in labels
    assert ("score" in labels, "estimate" in labels) == (False, False)
    assert measure.score.axis in labels
    assert labels.count(measure.estimate.axis) == 1
    head = tex_tables(renamed(detector), top=3)["ranked"].split(r"\midrule")[0]
    lines = [line.removesuffix(r" \\").split(" & ") for line in head.splitlines()[3:]]
    at = labels.index(measure.estimate.axis)
    words = [line[at] for line in lines if line[at]]
    assert " ".join(words) == escape(measure.estimate.axis)
    assert max(map(len, words)) <= 20


def renamed(detector: str) -> dict[str, pa.Table]:
    """The real log's result as if another detector, whose level is not held, had made it."""
    given = dict(tables("real"))
    rows = given["gateways"]
    n = rows.num_rows
    for key, column in {"detector": [detector] * n, "level_held": [False] * n,
                        "flagged": [False] * n}.items():  # fmt: skip
        rows = rows.set_column(rows.schema.get_field_index(key), key, pa.array(column))
    return {**given, "gateways": rows}


def test_ranking__speaks_each_detectors_own_words() -> None:
    columns = {}
    for detector in ("spike", "survival"):
        (table,) = ranked_tables(renamed(detector), top=3)
        columns[detector] = {column.label: column.title for column in table.columns}
    assert columns["spike"]["events"] == "joiners whose probability spiked"
    assert "spike" not in " ".join(columns["survival"].values())
    assert columns["survival"]["relative hazard"].endswith("; 1 where there is no effect")


def test_ranking__marks_p_values_that_do_not_hold_their_level() -> None:
    (table,) = ranked_tables(renamed("survival"), top=3)
    at = {column.label: i for i, column in enumerate(table.columns)}
    for row in table.bodies[0].rows:
        assert row.cells[at["p"]].text.endswith("(not held)")
        assert row.cells[at["q"]].text.endswith("(not held)")
        assert row.cells[at["flagged"]].text == "no"
    assert "nothing is flagged" in table.columns[at["p"]].title


def test_ranking__shows_the_estimate_within_its_interval() -> None:
    """In numbers as printed: a ratio beside the interval of the ratio."""
    headed = [measure_of(name).estimate.axis for name in ("spike", "self_controlled")]
    for table, head in zip(
        ranked_tables(with_rivals(tables("simulated")), top=5), headed, strict=True
    ):
        at = {column.label: i for i, column in enumerate(table.columns)}
        for row in table.bodies[0].rows:
            estimate, interval = (row.cells[at[key]].text for key in (head, "95 % interval"))
            low, high = interval[1:-1].split(", ")
            numbers = [float(x.replace("\N{MINUS SIGN}", "-")) for x in (low, estimate, high)]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("detectors", "expected"),
    [(["survival"], ""), (["spike"], ", horizon 60 days. "),
     (["spike", "survival"], ", horizon 60 days for spike. ")],
)  # fmt: skip
def test_summary__names_the_horizon_of_those_who_use_it(detectors, expected) -> None:
    summary = pa.table({"key": ["horizon"], "value": ["60 days"]})
    rows = pa.table({"detector": detectors, "rank": pa.nulls(len(detectors), pa.int32())})
    got = lede(Result({"summary": summary, "gateways": rows}))
    assert ("horizon" in got) == bool(expected)
    assert expected in got


def test_evaluation__compares_detectors_side_by_side() -> None:
    made = evaluation(Result(with_rivals(tables("simulated"))))
    assert made is not None
    compared = made.blocks[0]
    assert isinstance(compared, Table)
    assert [row.cells[0].text for row in compared.bodies[0].rows] == ["spike", "self controlled"]
    expected = Result(tables("simulated")).planted("average_precision").value
    assert [row.cells[1].value for row in compared.bodies[0].rows] == [expected, 0.9]


def test_claims__stand_beside_the_published_numbers_in_natural_order() -> None:
    made = claims(Result(claim_tables()))
    assert made is not None
    table = made.blocks[1]
    assert isinstance(table, Table)
    assert [(body.heading or "").split(".")[0] for body in table.bodies] == ["R1", "R3", "R10"]
    rows = {row.cells[0].text: [cell.text for cell in row.cells[1:]]
            for body in table.bodies for row in body.rows}  # fmt: skip
    assert rows["gysj, requests"] == ["1,326,540", "1,300,000", "–", "−26,540"]
    assert rows["exposed"] == [
        "10.77\xa0%", "11.01\xa0%", "[10.18, 11.82]\xa0%", "+0.24 points"
    ]  # fmt: skip
    assert rows["recall <b>at</b> 0.9"] == ["–", "0.41", "[0.39, 0.44]", "–"]


def test_claims__say_what_came_within_its_tolerance() -> None:
    told = claim_tables()["analyses/others"].append_column("within", pa.array([None, True]))
    made = claims(Result({"analyses/comparison": told}))
    assert made is not None
    table = made.blocks[1]
    assert isinstance(table, Table)
    assert [body.rows[0].cells[-1].text for body in table.bodies] == ["yes", MISSING]
    assert table.columns[-1].label == "within"


def test_explained__tells_every_detector_and_the_truth_of_a_group() -> None:
    result = Result(with_rivals(tables("simulated")))
    made = explained(result)
    assert made is not None
    table = made.blocks[1]
    assert isinstance(table, Table)
    top = result.ranked("spike")[0]
    mine = {row.cells[1].text: row.cells[2].text for row in table.bodies[0].rows
            if row.marks["group"] == "0"}  # fmt: skip
    assert mine["by spike"] == "rank 1, flagged"
    assert mine["by self controlled"].startswith("rank ")
    assert mine["joiners whose probability spiked"].startswith(f"{top['n_events']:,} of ")
    assert "95 % interval [" in mine["excess share who go on (percentage points)"]
    assert mine["planted role"] == role(result.roles()[top["group"]]).label
    assert "target joins per 100 joins" in mine["direct effect, by replay"]
    options = table.filters[0].options
    assert len(options) == 20
    assert options[0][1] == f"1. {top['group']}"


def test_explained__of_a_real_log_claims_no_truth() -> None:
    made = explained(Result(tables("real")))
    assert made is not None
    table = made.blocks[1]
    assert isinstance(table, Table)
    said = {row.cells[1].text for row in table.bodies[0].rows}
    assert "by spike" in said
    assert not {"planted role", "direct effect, by replay"} & said


def test_summary__names_the_best_of_several_detectors() -> None:
    got = lede(Result(with_rivals(tables("simulated"))))
    assert got.endswith(
        "Of 2 detectors, self controlled ranks the planted gateways best, with an average "
        "precision of 0.900."
    )
    assert "detectors" not in lede(Result(tables("simulated")))


def test_claims__say_that_a_fit_is_no_evidence() -> None:
    text = " ".join(Page(make_report({**tables("simulated"), **claim_tables()})).words["section"])
    assert "agreement is no evidence about the real platform" in text
    assert "claims" not in page("real").attributes("id")


def test_sections__come_from_a_list_that_others_add_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def extra(result: Result) -> Section | None:
        return Section("extra", "More <than> this", [f"{result.summary('n_users')} users"])

    monkeypatch.setattr(gateway.report.page, "SECTIONS", (*SECTIONS, extra))
    got = Page(make_report(tables("simulated")))
    assert "#extra" in got.attributes("href")
    assert "More <than> this" in got.words["h2"]


@pytest.mark.parametrize(("n", "expected"), [("1", "1 group"), ("2", "2 groups")])
def test_summary__knows_one_from_many(n: str, expected: str) -> None:
    said = tables("simulated")["summary"].to_pylist()
    changed = [{**row, "value": n} if row["key"] == "n_targets" else row for row in said]
    got = lede(Result({**tables("simulated"), "summary": pa.Table.from_pylist(changed)}))
    assert f"Target set: {expected} (" in got


def test_evaluation__names_every_metric_in_words() -> None:
    made = evaluation(Result(tables("simulated")))
    assert made is not None
    (table,) = (block for block in made.blocks if isinstance(block, Table))
    text = " ".join(cell.text for row in table.bodies[0].rows for cell in row.cells)
    assert "homophily look-alikes, share of the top 50" in text
    assert not re.search(r"\w_\w", text)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("n_called_q05", "groups called at a nominal false-discovery rate of 5 %"),
        ("false_share_q20", "of these, share that are no gateways"),
        ("ndcg_at_100", "normalised discounted cumulative gain of the top 100"),
        ("recall_at_50", "gateways found in the top 50"),
        ("something_new", "something new"),
    ],
)
def test_metric__is_called_by_words(key: str, expected: str) -> None:
    assert metric(key)[0] == expected


def test_targets__are_all_listed() -> None:
    groups = tables("simulated")["groups"]
    expected = set(groups.filter(groups["is_target"])["group"].to_pylist())
    text = report("simulated")
    listed = text[text.index('id="targets"') : text.index('id="config"')]
    assert set(re.findall(r"<bdi>(.*?)</bdi>", listed)) == expected


def test_report__shows_config_and_provenance_escaped() -> None:
    got = page("simulated")
    assert got.words["code"] == [CONFIG]
    cells = got.words["td"]
    for expected in ("numpy 2.4.0, numba 0.63.0", "41.23", "no", "<i>fast</i>", MISSING):
        assert expected in cells
    assert not got.tags("i")
    assert not got.tags("b")


# What it lets through -------------------------------------------------------------------


@each_kind
def test_report__is_balanced_html(kind: str) -> None:
    assert page(kind).unbalanced == 0
    assert page(kind).open == []


def test_report__escapes_hostile_names() -> None:
    got = page("hostile")
    assert len(got.tags("script")) == 1
    assert not got.tags("img")
    assert not [key for _, given in got.elements for key in given if key.startswith("on")]
    for hostile in HOSTILE:
        assert name(hostile) in got.words["bdi"]


def test_report__escapes_title_and_captions() -> None:
    svg = figures("simulated")["reliability"][0]
    nasty = "<script>alert(3)</script> & \x1b[1m"
    got = Page(make_report(tables("simulated"), {"x<y": (svg, nasty)}, title=nasty))
    assert len(got.tags("script")) == 1
    assert got.words["figcaption"] == [nasty.replace("\x1b", "\N{REPLACEMENT CHARACTER}")]
    assert got.words["h1"] == ["<script>alert(3)</script> & [1m"]


@each_kind
def test_report__loads_nothing(kind: str) -> None:
    got = page(kind)
    links = got.attributes("href", "src", "srcset", "xlink:href", "action", "data", "poster")
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not got.tags("link")
    assert not re.search(r"url\((?!#)", report(kind))
    assert "@import" not in report(kind)
    assert "//" not in " ".join(got.attributes("style"))
    assert "http:" not in report(kind)
    assert "https:" not in report(kind)


@each_kind
def test_report__points_only_at_ids_that_exist_once(kind: str) -> None:
    ids = page(kind).attributes("id")
    assert len(ids) == len(set(ids))
    aimed = [link[1:] for link in page(kind).attributes("href") if link.startswith("#")]
    aimed += page(kind).attributes("aria-labelledby", "aria-describedby")
    aimed += re.findall(r"url\(#(.*?)\)", report(kind))
    assert set(aimed) <= set(ids)


def test_report__lets_only_its_own_script_run() -> None:
    (script,) = page("hostile").words["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [given["content"] for given in page("hostile").tags("meta")
                if given.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert len(policies) == 1
    assert f"script-src 'sha256-{digest}';" in policies[0]
    assert "default-src 'none'" in policies[0]


@each_kind
def test_report__describes_every_picture(kind: str) -> None:
    pictures = page(kind).tags("svg")
    assert len(pictures) == len(figures(kind))
    for picture in pictures:
        assert picture["role"] == "img"
        assert picture["aria-labelledby"].startswith("title-")
        assert picture["aria-describedby"].startswith("caption-")


# Pieces ---------------------------------------------------------------------------------


def inlined(inner: str, *, head: str = "") -> str:
    text = (
        f'{head}<svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">{inner}</svg>'
    )
    return str(inline_svg(text, prefix="p-", titled_by="t", described_by="d"))


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        '<g onclick="alert(1)"/>',
        '<a xlink:href="http://example.org"><g/></a>',
        '<image xlink:href="http://example.org/x.png"/>',
        '<image href="//example.org/x.png"/>',
        '<use xlink:href="other.svg#x"/>',
        '<g style="fill: url(http://example.org/#x)"/>',
        "<style>@import url(http://example.org)</style>",
        "<foreignObject><p>alert</p></foreignObject>",
        "<metadata>example.org</metadata>",
        "<!-- example.org -->",
    ],
)
def test_inline_svg__drops_what_loads_or_runs(inner: str) -> None:
    got = inlined(inner)
    assert "example.org" not in got
    assert "alert" not in got
    assert "other.svg" not in got


def test_inline_svg__prefixes_ids_and_their_uses() -> None:
    got = inlined('<path id="a"/><use xlink:href="#a"/><g clip-path="url(#a)"/>')
    assert 'id="p-a"' in got
    assert 'href="#p-a"' in got
    assert 'clip-path="url(#p-a)"' in got


def test_inline_svg__follows_the_colours_of_the_page() -> None:
    got = inlined('<g style="fill: #1F2328; stroke: #123456"/>')
    assert "fill: var(--ink); stroke: #123456" in got


@pytest.mark.parametrize(
    "text", ["", "<p/>", "not xml", '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>']
)
def test_inline_svg__refuses_what_is_no_plain_svg(text: str) -> None:
    with pytest.raises(ResultError, match="SVG"):
        inline_svg(text, prefix="p-", titled_by="t", described_by="d")


def test_colours__cover_the_figures_style() -> None:
    """A shade or a role's colour that the page does not know would stay as it is in the dark."""
    roles = ("influence", "homophily", "hub", "target", "ordinary", "unknown", "of a later version")
    used = {INK, MUTED, FAINT, RULE, PAPER} | {figure_role(key).color for key in roles}
    assert {color.lower() for color in used} == set(COLOURS)
    css = report("simulated")
    for variable in COLOURS.values():
        assert f"{variable[4:-1]}: " in css


@pytest.mark.parametrize("key", ["influence", "homophily", "hub", "target", "ordinary"])
def test_roles__are_known_to_figures_and_report(key: str) -> None:
    shapes = {"o": "●", "^": "▲", "s": "■", "v": "▼", "D": "◆"}
    assert role(key).mark == shapes[figure_role(key).marker]
    assert role(key).key == key


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\u202eb\u2066c\x00d", "abcd"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("\n \t", "(no name)"),
        (None, "(no name)"),
        ("<b>", "<b>"),
    ],
)
def test_name__is_one_printable_line(given: str | None, expected: str) -> None:
    assert name(given) == expected


def test_name__keeps_both_ends_of_a_long_one() -> None:
    got = name("a" * 150 + "b" * 150, limit=60)
    assert len(got) == 60
    assert got[0] == "a"
    assert got[-1] == "b"


def test_provenance_rows__leave_a_diff_to_the_file():
    rows = provenance_rows({"dirty": True, "diff": "-x\n+y\n", "cores": 2})
    assert rows == [("dirty", "yes"), ("cores", "2")]
