"""`gateway view` in a real browser: by the keyboard alone, on a phone, read by a machine.

Needs what tests/test_report_browser.py needs, and skips where that does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.view import Viewed, Viewer
from gateway.view.viewed import link
from tests.result_tables import HOSTILE, result_tables, with_rivals
from tests.test_report_browser import BROWSER, DESKTOP, PHONE, axe, browser

__all__ = ["browser"]  # the fixture

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser on the path")
PAGES = ("", "groups", "groups?flag=any&page=2", "users", "detectors", "acting", "figures")


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    tables = with_rivals(result_tables(names=HOSTILE, n_groups=300))
    served = Viewer(Viewed(tables, "strangers"))
    thread = threading.Thread(target=served.serve)
    thread.start()
    yield served
    served.close()
    thread.join()


@pytest.mark.parametrize(
    ("scheme", "view"), [("light", DESKTOP), ("dark", PHONE)], ids=["light desktop", "dark phone"]
)
def test_pages__complain_of_nothing_and_are_accessible(
    browser: Any, viewer: Viewer, view: dict[str, int], scheme: str
) -> None:
    context = browser.new_context(viewport=view, color_scheme=scheme)
    tab = context.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("dialog", lambda dialog: heard.append(dialog.message))
    tab.on("request", lambda asked: asked.url.startswith(viewer.url) or heard.append(asked.url))
    user, group = next(iter(viewer.viewed.users)), viewer.viewed.groups[0]["group"]
    for path in (*PAGES, link("user", name=user), link("group", name=group)):
        tab.goto(viewer.url + path, timeout=120_000)
        found = axe.Axe().run(tab).response
        assert found["passes"]  # it did look
        bad = [(v["id"], [node["html"] for node in v["nodes"]]) for v in found["violations"]]
        assert bad == [], path
        # Tables scroll in their own place; the page itself never sideways.
        assert tab.evaluate("document.documentElement.scrollWidth") == view["width"], path
    context.close()
    assert heard == []


def test_pages__are_used_by_the_keyboard_alone(browser: Any, viewer: Viewer) -> None:
    """Skip the contents, look for a group, choose who is shown, open it, go on to the others."""
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{viewer.url}groups")
    tab.keyboard.press("Tab")
    assert tab.locator(":focus").inner_text() == "Skip to the content"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.type("script alert(1)")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/groups?text=script*")
    assert tab.get_by_role("status").inner_text() == "1 group, page 1 of 1."
    assert tab.get_by_label("Text in the name").input_value() == "script alert(1)"
    tab.get_by_role("link", name="alert(1)").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/group?name=*")
    assert tab.get_by_role("heading", level=1).inner_text() == HOSTILE[0]
    tab.get_by_role("link", name="All groups").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/groups")
    assert tab.locator("nav a[aria-current=page]").inner_text() == "Groups"
    context.close()
