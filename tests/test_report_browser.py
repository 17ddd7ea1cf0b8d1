"""The report in a real browser: opened from disk, sorted, filtered, read by a machine.

Needs a Chromium and what requirements-browser.txt pins (`make browser` installs the latter);
without them these tests are skipped, and say what to install. GATEWAY_BROWSER names a browser
that is not on the path.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gateway.detect import measure_of
from gateway.figures import FIGURES, render
from gateway.report import render_report
from tests.result_tables import HOSTILE, claim_tables, result_tables, with_rivals

WHY = "is not installed: `make browser` installs what requirements-browser.txt pins"
driver = pytest.importorskip("playwright.sync_api", reason=f"playwright {WHY}")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=f"axe {WHY}")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("GATEWAY_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser on the path: {NAMES}")

CONFIG = '[experiment]\nname = "a </script><script>alert(4)</script> b"\n'
SCORE = "share of joiners that spike (%)"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with all that there can be in it, by strangers with bad intentions; its URL."""
    tables = {**with_rivals(result_tables(names=HOSTILE, n_groups=300)), **claim_tables()}
    gateways = tables["gateways"]
    known = pa.array([i >= 7 for i in range(gateways.num_rows)])
    jumps = pc.if_else(known, gateways["mean_jump"], None)
    at = gateways.schema.get_field_index("mean_jump")
    tables["gateways"] = gateways.set_column(at, "mean_jump", jumps)
    figures = {}
    for figure in FIGURES:
        if (data := figure.plotted(tables)) is not None:
            svg = render(figure.draw(data), kinds=["svg"])["svg"].decode()
            figures[figure.NAME] = (svg, figure.caption(data))
    text = render_report(
        tables,
        figures,
        config_toml=CONFIG,
        provenance={"commit": "</script><b>0</b>", "packages": {"numpy": "2.4.0"}},
        title="Gateway groups </title><script>alert(5)</script>",
        top=20,
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(text.encode())
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with driver.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=BROWSER)
        yield launched
        launched.close()


@dataclass
class Opened:
    """A page, and everything that it complained of, asked for or popped up."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Any, report: str) -> Iterator[Callable[..., Opened]]:
    """Open the report in a fresh context with the options given."""
    contexts = []

    def start(**options: Any) -> Opened:
        contexts.append(browser.new_context(**{"viewport": DESKTOP, **options}))
        got = Opened(contexts[-1].new_page())
        got.page.on("console", lambda message: got.complaints.append(message.text))
        got.page.on("pageerror", lambda error: got.complaints.append(str(error)))
        got.page.on("dialog", lambda dialog: got.complaints.append(dialog.message))
        got.page.on("request", lambda request: got.requests.append(request.url))
        got.page.goto(report)
        return got

    yield start
    for context in contexts:
        context.close()


def column(page: Any, label: str) -> list[str]:
    """Values of a column of the ranking, visible rows only, as the page sorts them."""
    return page.evaluate(
        """label => {
          const table = document.getElementById("table-ranked-spike");
          const at = [...table.tHead.rows[0].cells].findIndex((c) => c.innerText.trim() === label);
          return [...table.tBodies[0].rows].filter((r) => !r.hidden)
            .map((r) => r.cells[at].dataset.value);
        }""",
        label,
    )


def heading(page: Any, label: str) -> Any:
    return page.locator("#table-ranked-spike thead th").filter(
        has_text=re.compile(rf"^\s*{re.escape(label)}\s*$")
    )


SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
VIEWS = pytest.mark.parametrize("view", [DESKTOP, PHONE], ids=["desktop", "phone"])


# Opening -------------------------------------------------------------------------------


@SCHEMES
def test_report__opens_from_disk_without_complaint_or_request(
    opened: Any, report: str, scheme: str
) -> None:
    got = opened(color_scheme=scheme)
    got.page.wait_for_load_state("networkidle")
    assert got.complaints == []
    assert got.requests == [report]
    assert got.page.title() == "Gateway groups </title><script>alert(5)</script>"


def test_report__shows_strangers_names_as_text(opened: Any) -> None:
    page = opened().page
    assert "<script>alert(1)</script>" in page.locator("#table-ranked-spike").inner_text()
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, object, b").count() == 0


@VIEWS
def test_report__never_scrolls_sideways_as_a_whole(opened: Any, view: Any) -> None:
    page = opened(viewport=view).page
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= view["width"]
    # Nor is anything cut off: what is wider lies in a part that scrolls by itself.
    wide = page.evaluate(
        """width => [...document.querySelectorAll("main *, header *")]
          .filter((e) => !e.closest(".scroll, pre, .skip") && e.getClientRects().length
            && e.getBoundingClientRect().right > width + 1).map((e) => e.outerHTML.slice(0, 99))""",
        view["width"],
    )
    assert wide == []


@pytest.mark.parametrize(
    ("scheme", "view"), [("light", DESKTOP), ("dark", PHONE)], ids=["light desktop", "dark phone"]
)
def test_report__has_no_serious_fault_for_assistive_software(
    opened: Any, scheme: str, view: Any
) -> None:
    """axe-core, on everything unfolded: colours hang on the scheme alone, sizes on the view."""
    got = opened(color_scheme=scheme, viewport=view)
    got.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = axe.Axe().run(got.page).response
    assert found["passes"]  # it did look
    bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in bad] == []


def test_report__figures_follow_the_dark(opened: Any) -> None:
    inks = {}
    for scheme in ("light", "dark"):
        page = opened(color_scheme=scheme).page
        inks[scheme] = page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
              getComputedStyle(document.querySelector("figure svg [style*='--ink']")).fill,
              getComputedStyle(document.querySelector("figure svg [style*='--paper']")).fill]"""
        )
    assert inks["light"] == ["rgb(255, 255, 255)", "rgb(31, 35, 40)", "rgb(255, 255, 255)"]
    assert inks["dark"] == ["rgb(20, 24, 28)", "rgb(230, 233, 236)", "rgb(20, 24, 28)"]


# Sorting -------------------------------------------------------------------------------


def test_ranking__sorts_by_number_up_and_down(opened: Any) -> None:
    page = opened().page
    heading(page, "joiners").get_by_role("button").click()
    up = [float(value) for value in column(page, "joiners")]
    assert up == sorted(up)
    assert heading(page, "joiners").get_attribute("aria-sort") == "ascending"
    heading(page, "joiners").get_by_role("button").click()
    assert [float(value) for value in column(page, "joiners")] == up[::-1] != up
    heads = page.locator("#table-ranked-spike thead th").all()
    told = [th.get_attribute("aria-sort") for th in heads]
    assert sorted(told)[:2] == ["descending", "none"]
    assert told.count("none") == len(told) - 1


def test_ranking__sorts_from_the_keyboard(opened: Any) -> None:
    page = opened().page
    heading(page, SCORE).get_by_role("button").focus()
    page.keyboard.press("Enter")
    got = [float(value) for value in column(page, SCORE)]
    assert got == sorted(got)
    page.keyboard.press("Space")
    assert [float(value) for value in column(page, SCORE)] == sorted(got, reverse=True)


def test_ranking__puts_what_is_missing_last_either_way(opened: Any) -> None:
    page = opened().page
    jump = "mean jump (percentage points)"
    for _ in range(2):
        heading(page, jump).get_by_role("button").click()
        got = column(page, jump)
        assert got[-7:] == [""] * 7
        assert "" not in got[:-7]


# Filtering -----------------------------------------------------------------------------


def test_ranking__shows_the_note_s_detector_first_and_another_when_asked(opened: Any) -> None:
    page = opened().page
    rival = page.locator("#table-ranked-self_controlled")
    assert page.locator("#table-ranked-spike").is_visible()
    assert not rival.is_visible()
    page.get_by_text("that self controlled ranks highest").click()
    assert rival.is_visible()
    assert measure_of("self_controlled").estimate.axis in rival.locator("thead").inner_text()
    told = page.locator("[data-for=table-ranked-self_controlled] output").inner_text()
    assert told == "20 of 20 rows"


def test_ranking__filters_by_role_and_text_together(opened: Any) -> None:
    page = opened().page
    roles = column(page, "planted role")
    role = page.locator("[data-for=table-ranked-spike] [data-key=role]")
    role.select_option("homophily")
    assert column(page, "planted role") == ["homophily"] * roles.count("homophily") != []
    role.select_option("influence")
    page.get_by_role("searchbox").first.fill("PARTY")
    assert column(page, "group") == [column(page, "group")[0]]
    assert "party" in column(page, "group")[0]
    page.get_by_role("searchbox").first.fill("party nobody has this name")
    assert column(page, "group") == []
    assert page.locator("[data-for=table-ranked-spike] output").inner_text() == "0 of 20 rows"


def test_ranking__keeps_its_filter_when_it_is_sorted(opened: Any) -> None:
    page = opened().page
    page.locator("[data-for=table-ranked-spike] [data-key=role]").select_option("homophily")
    before = column(page, "rank")
    heading(page, "joiners").get_by_role("button").click()
    assert sorted(column(page, "rank"), key=float) == before


def test_controls__are_reached_with_the_tab_key_alone(opened: Any) -> None:
    page = opened().page
    seen = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("""() => {
          const e = document.activeElement;
          return e.dataset.key ?? (e.type === "search" ? "search" : e.innerText?.trim());
        }""")
        )
    assert {"detector", "role", "search", SCORE, "Show the config"} <= seen


# Copying, printing, no script ----------------------------------------------------------


def test_config__is_copied_as_it_is(opened: Any) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"]).page
    page.get_by_text("Show the config").click()
    page.get_by_role("button", name="Copy the config").click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == CONFIG


def test_config__is_selected_where_there_is_no_clipboard(opened: Any) -> None:
    page = opened().page
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('none')); }"
    )
    page.get_by_text("Show the config").click()
    page.get_by_role("button", name="Copy the config").click()
    page.get_by_text("Selected").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == CONFIG.strip()


def test_report__prints_with_everything_unfolded(opened: Any) -> None:
    page = opened(color_scheme="dark").page
    assert page.pdf(format="A4")[:4] == b"%PDF"
    assert page.evaluate("[...document.querySelectorAll('details')].every((d) => d.open)")
    page.emulate_media(media="print", color_scheme="dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert not page.locator("nav, .controls, button.copy").filter(visible=True).count()


def test_report__reads_the_same_without_its_script(opened: Any) -> None:
    page = opened(java_script_enabled=False).page
    assert page.locator("#table-ranked-spike tbody tr").filter(visible=True).count() == 20
    page.get_by_text("that self controlled ranks highest").click()
    rival = page.locator("#table-ranked-self_controlled tbody tr")
    assert rival.filter(visible=True).count() == 20
    assert page.locator("button, .controls").filter(visible=True).count() == 0
    page.get_by_text("Show the config").click()
    assert page.locator("#config-text").inner_text().strip() == CONFIG.strip()


def test_report__is_under_five_megabytes(report: str) -> None:
    assert Path(report.removeprefix("file://")).stat().st_size < 5_000_000
