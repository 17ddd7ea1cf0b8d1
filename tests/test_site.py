"""The generated parts of the site say all that there is; `make docs` builds and checks the rest."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import typer

import gateway
from gateway.cli.app import app
from gateway.config import Config
from gateway.config.shape import sections
from gateway.detect import REGISTRY
from gateway.reproduce import read_claims

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    found = importlib.util.spec_from_file_location("pages", DOCS / "_ext" / "pages.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_api__has_every_public_name(pages: ModuleType) -> None:
    got = re.findall(r"^## (\w+)$", pages.api(), re.MULTILINE)
    assert got == [name for name in gateway.__all__ if name != "__version__"]


def test_command_line__has_every_command_and_option(pages: ModuleType) -> None:
    text = pages.command_line()
    for name, command in typer.main.get_command(app).commands.items():
        part = text.partition(f"## gateway {name}\n")[2].partition("\n## ")[0]
        options = [o for o in command.params if not o.hidden and o.name != "help"]
        assert part.count("\n| ") - 2 == len(options), name


def test_config__has_every_key(pages: ModuleType) -> None:
    text = pages.config()
    for path, node in sections(Config):
        for key, value in node["properties"].items() if path else ():
            if "properties" not in value and "$ref" not in value:
                assert f"| `{key}` |" in text, (path, key)


def test_tables__have_every_detector(pages: ModuleType) -> None:
    text = pages.tables()
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == list(REGISTRY)


def test_claims__are_those_of_the_file(pages: ModuleType) -> None:
    text = pages.claims()
    claims = read_claims(ROOT / "claims.toml")
    assert [claim.id for claim in claims if f"--claim {claim.id}`" not in text] == []


def test_pages__name_no_address_that_a_reader_would_fetch_from() -> None:
    fetched = r"<(script|link|img)[^>]+(src|href)=.https?:|^!\[[^]]*\]\(https?:"
    for page in DOCS.rglob("*.md"):
        assert not re.search(fetched, page.read_text("utf-8"), re.MULTILINE), page


@pytest.mark.compiled
def test_readme__shows_what_its_lines_print(capsys: pytest.CaptureFixture[str]) -> None:
    """The ten lines, run as they stand, print what stands below them; the robust are gateways."""
    blocks = re.findall(
        r"```(python)?\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    at = next(i for i, (kind, _) in enumerate(blocks) if kind == "python")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gateway.AssumptionWarning)
        made: dict[str, object] = {}
        exec(compile(blocks[at][1], "README.md", "exec"), made)  # noqa: S102  (our own lines)
    assert capsys.readouterr().out == blocks[at + 1][1]
    # With one penalty for all groups, or surrogates without what the first fit knows of the
    # others, a look-alike is called.
    found = made["change"].to_pandas()
    assert not set(found.query("flagged")["group"]) & set(made["look_alikes"])
    robust = set(found.query("grade == 'robust'")["group"])
    assert len(robust) == 7
    assert robust <= set(made["truth"])
