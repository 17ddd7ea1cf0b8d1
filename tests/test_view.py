"""`gateway view`: who is answered, what the pages say, and that names of strangers run nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from html import unescape
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.errors import GatewayError
from gateway.view import Viewed, Viewer, page
from tests.result_tables import HOSTILE, result_tables, with_rivals


@pytest.fixture(scope="module")
def viewed() -> Viewed:
    tables = with_rivals(result_tables(names=HOSTILE, n_groups=300))
    return Viewed(tables, "a </title><script>alert(5)</script>")


@pytest.fixture(scope="module")
def viewer(viewed: Viewed) -> Iterator[Viewer]:
    served = Viewer(viewed)
    thread = threading.Thread(target=served.serve)
    thread.start()
    yield served
    served.close()
    thread.join()


def ask(
    viewer: Viewer, path: str, *, method: str = "GET", host: str | None = None
) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", viewer.port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{viewer.port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


# Who is answered ---------------------------------------------------------------------------


def test_viewer__listens_on_the_loopback_address_alone(viewer: Viewer) -> None:
    assert urlsplit(viewer.url).hostname == "127.0.0.1"
    assert viewer._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/style.css", "/groups", "/wrong/groups", "//", "/%C3%A9"])
def test_viewer__tells_nothing_without_the_token(viewer: Viewer, path: str) -> None:
    answer, text = ask(viewer, path)
    assert (answer.status, text) == (404, "There is no such page.")


def test_viewer__token_is_long_and_new_each_time(viewer: Viewer, viewed: Viewed) -> None:
    with Viewer(viewed) as other:
        assert len(viewer.token) >= 43  # 32 bytes in base64
        assert other.token != viewer.token


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "localhost.evil:80"])
def test_viewer__refuses_another_host(viewer: Viewer, host: str) -> None:
    answer, text = ask(viewer, f"/{viewer.token}/", host=host)
    assert answer.status == 421
    assert "groups" not in text


def test_viewer__refuses_an_address_with_another_host_in_it(viewer: Viewer) -> None:
    assert ask(viewer, f"http://example.org/{viewer.token}/")[0].status == 421
    assert ask(viewer, f"http://127.0.0.1:{viewer.port}/{viewer.token}/")[0].status == 200


def test_viewer__answers_what_is_no_address(viewer: Viewer, capsys) -> None:
    assert ask(viewer, "http://[::1/")[0].status == 400
    assert not capsys.readouterr().err


def test_viewer__answers_to_both_names_of_this_machine(viewer: Viewer) -> None:
    for name in ("localhost", "127.0.0.1"):
        answer, text = ask(viewer, f"/{viewer.token}/", host=f"{name}:{viewer.port}")
        assert answer.status == 200
        assert "<h1>" in text


def test_viewer__lets_a_page_load_only_its_style(viewer: Viewer) -> None:
    answer, text = ask(viewer, f"/{viewer.token}/groups")
    policy = dict(
        part.split(maxsplit=1) for part in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "script-src" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.findall(r"<(?:script|img|iframe|link)[^>]*>", text) == [
        '<link rel="stylesheet" href="style.css">'
    ]


def test_viewer__reads_and_changes_nothing(viewer: Viewer) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(viewer, f"/{viewer.token}/groups", method=method)[0].status == 501
    answer, text = ask(viewer, f"/{viewer.token}/groups", method="HEAD")
    assert (answer.status, text) == (200, "")


def test_viewer__says_that_a_port_is_taken(viewer: Viewer, viewed: Viewed) -> None:
    with pytest.raises(GatewayError, match=rf"cannot listen on port {viewer.port}"):
        Viewer(viewed, port=viewer.port)


# What the pages say ------------------------------------------------------------------------


def shown(text: str, table: str = "groups") -> list[list[str]]:
    """The cells of a table's rows, as text."""
    body = text.partition(f'<table id="table-{table}"')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body.partition("<tbody>")[2], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def asked(viewed: Viewed, path: str, **query: str) -> str:
    text = page(viewed, path, query)
    assert text is not None
    return text


def test_pages__escape_names_of_strangers(viewed: Viewed) -> None:
    paths = ["", "groups", "users", "detectors", "acting", "figures"]
    pages = [asked(viewed, path) for path in paths]
    pages += [asked(viewed, "group", name=name) for name in HOSTILE if name in names(viewed)]
    pages += [asked(viewed, "user", name=user) for user in viewed.users]
    pages += [asked(viewed, "groups", text=HOSTILE[0])]
    for text in pages:
        assert not re.search(r"<(script|img)|onerror=alert\(2\)>", text)
        assert "\u202e" not in text


def names(viewed: Viewed) -> set[str]:
    return {row["group"] for row in viewed.groups}


def test_groups__links_lead_to_the_group(viewed: Viewed) -> None:
    text = asked(viewed, "groups")
    links = [unescape(link) for link in re.findall(r'<th[^>]*><a href="([^"]+)"', text)]
    found = [dict(parse_qsl(urlsplit(link).query, keep_blank_values=True)) for link in links]
    assert len(found) == 50
    assert {one["name"] for one in found} <= names(viewed)
    assert all(
        page(viewed, urlsplit(link).path, one) for link, one in zip(links, found, strict=True)
    )


def test_groups__are_all_there_over_the_pages(viewed: Viewed) -> None:
    pages = -(-len(viewed.groups) // 50)
    got = [
        row[0] for n in range(1, pages + 1) for row in shown(asked(viewed, "groups", page=f"{n}"))
    ]
    assert len(got) == len(viewed.groups)
    # Beyond the last page is the last page, and nonsense is the first.
    assert shown(asked(viewed, "groups", page="999")) == shown(
        asked(viewed, "groups", page=f"{pages}")
    )
    assert shown(asked(viewed, "groups", page="-1")) == shown(asked(viewed, "groups"))


def test_groups__are_in_the_order_of_the_chosen_detector(viewed: Viewed) -> None:
    for detector in viewed.detectors:
        ranks = {row["group"]: row["by"][detector]["rank"] for row in viewed.groups}
        expected = sorted(rank for rank in ranks.values() if rank is not None)[:50]
        text = asked(viewed, "groups", by=detector)
        at = 3 + viewed.detectors.index(detector)
        got = [int(row[at].partition(".")[0].replace(",", "")) for row in shown(text)]
        assert got == expected


def test_groups__filters_are_what_they_say(viewed: Viewed) -> None:
    flagged = {
        row["group"]: {d for d, one in row["by"].items() if one["flagged"]} for row in viewed.groups
    }
    every = set(viewed.detectors)

    def count(**query: str) -> int:
        said = re.search(r'role="status">([\d,]+) group', asked(viewed, "groups", **query))
        assert said is not None
        return int(said[1].replace(",", ""))

    assert count(flag="any") == sum(bool(by) for by in flagged.values()) > 0
    assert count(flag="all") == sum(by == every for by in flagged.values())
    for detector in every:
        assert count(flag=detector) == sum(by == {detector} for by in flagged.values())
    assert count(role="hub") == sum(row["role"] == "hub" for row in viewed.groups) > 0
    assert count(text="SCRIPT alert(1)") == 1
    assert count(flag="nonsense") == count() == len(viewed.groups)


def test_group__has_what_each_detector_says_and_the_truth(viewed: Viewed) -> None:
    row = next(row for row in viewed.groups if row["role"] == "influence")
    text = asked(viewed, "group", name=row["group"])
    for detector in row["by"]:
        facts = {cells[0]: cells[1] for cells in shown(text, f"facts-{detector}")}
        assert facts["rank"] == str(row["by"][detector]["rank"] or "–")
        assert facts["flagged"] == ("yes" if row["by"][detector]["flagged"] else "no")
    assert dict(c[:2] for c in shown(text, "facts-truth"))["planted role"] == "gateway"


@pytest.mark.parametrize("path", ["group", "user", "nowhere", "../groups", "group/"])
def test_page__is_none_where_there_is_nothing(viewed: Viewed, path: str) -> None:
    assert page(viewed, path, {"name": "nobody of this name"}) is None


def test_acting__adds_up_direct_effects(viewed: Viewed) -> None:
    truth = {row["group"]: row for row in viewed.result.rows("truth")}
    rows = shown(asked(viewed, "acting", top="10"), "caused")
    detector = viewed.detectors[0]
    mine = [truth[row["group"]] for row in viewed.groups
            if (row["by"][detector]["rank"] or 99) <= 10 and row["group"] in truth]  # fmt: skip
    effect = sum(row["direct_effect"] * row["n_joins"] for row in mine)
    half = 1.96 * sum((row["direct_se"] * row["n_joins"]) ** 2 for row in mine) ** 0.5
    numbers = [
        float(x.replace("−", "-").replace(",", "")) for x in re.findall(r"−?[\d,]+", rows[0][4])
    ]
    assert numbers == pytest.approx([effect, effect - half, effect + half], abs=0.5)
    # Nobody chooses better than who knows the truth.
    best = max(float(row[4].partition(" ")[0].replace("−", "-").replace(",", "")) for row in rows)
    assert rows[-1][0] == "who knows the truth"
    assert float(rows[-1][4].partition(" ")[0].replace(",", "")) == best


def test_acting__says_which_interventions_there_are_and_how_to_try_another(viewed: Viewed) -> None:
    said = "For another one, add a table [[interventions]] to the config, and run it."
    for kept, none in ((True, False), (False, True)):
        tables = {
            name: table
            for name, table in viewed.tables.items()
            if kept or name not in ("interventions", "dose_response", "intervention_sources")
        }
        text = asked(Viewed(tables, "some"), "acting")
        assert said in text
        assert ("This result holds none." in text) == none
        assert ("users&#39; paired differences" in text) == kept
    real = Viewed(result_tables(truth=False, n_groups=300), "real")
    assert said not in asked(real, "acting")


def test_pages__of_a_real_log_name_no_role() -> None:
    real = Viewed(result_tables(truth=False, n_groups=300), "real")
    for path in ("", "groups", "detectors", "acting"):
        assert "planted" not in asked(real, path)
