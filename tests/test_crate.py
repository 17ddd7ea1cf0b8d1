"""A result as an RO-Crate: the rules themselves, since validators need the network."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import unquote

import pytest

from gateway.config import config_to_toml, parse_config
from gateway.errors import ResultError
from gateway.provenance import MODEL_VERSION
from gateway.results import draft_result, write_crate
from gateway.sweep.running import TINY


@pytest.fixture
def folder(tmp_path):
    """A stored result with a name that is no plain URI."""
    provenance = {
        "gateway_version": "0.1.0", "model_version": MODEL_VERSION, "python": "3.11.7",
        "packages": {"numpy": "2.1", "x": None},
        "commit": "abc", "dirty": True, "cpu": "c", "cores": 2, "platform": "p",
        "finished": "2026-01-02T03:04:05+00:00", "compute_seconds": 65.0,
        "peak_memory_mib": 100.0,
    }  # fmt: skip
    with draft_result(tmp_path / "r") as draft:
        draft.write_text("config.toml", config_to_toml(parse_config(TINY)))
        draft.write_json("provenance.json", provenance)
        draft.write_text("figures/50 % of <a> & b.csv", "x\n1\n")
        draft.write_status("run")
    return tmp_path / "r"


def graph(folder) -> dict[str, dict]:
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    assert document["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    ids = [entity["@id"] for entity in document["@graph"]]
    assert len(ids) == len(set(ids))
    return {entity["@id"]: entity for entity in document["@graph"]}


def references(value) -> set[str]:
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else set()
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_crate__lists_every_file_with_its_digest(folder) -> None:
    write_crate(folder)
    found = graph(folder)
    files = {unquote(i): e for i, e in found.items() if e["@type"] == "File"}
    expected = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "ro-crate-metadata.json"
    }
    assert set(files) == set(expected)
    for name, content in expected.items():
        assert files[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert files[name]["contentSize"] == str(len(content))
    assert {part["@id"] for part in found["./"]["hasPart"]} == {e["@id"] for e in files.values()}
    assert "figures/50%20%25%20of%20%3Ca%3E%20%26%20b.csv" in found


def test_crate__every_reference_is_an_entity_or_an_address(folder) -> None:
    write_crate(folder, license_url="https://example.org/licence")
    found = graph(folder)
    wanted = set().union(*(references(v) for e in found.values() for v in e.values()))
    assert {i for i in wanted if i not in found and "://" not in i} == set()
    assert found["./"]["license"] == {"@id": "https://example.org/licence"}
    assert found["ro-crate-metadata.json"]["about"] == {"@id": "./"}


def test_crate__tells_what_made_it(folder) -> None:
    write_crate(folder)
    found = graph(folder)
    run, software = found["#run"], found["#gateway"]
    assert (run["startTime"], run["endTime"]) == (
        "2026-01-02T03:03:00+00:00", "2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    assert run["object"] == {"@id": "config.toml"}
    assert software["softwareVersion"] == "0.1.0"
    assert software["description"] == "Commit abc, with changes that are not committed"
    assert found["#numpy"]["softwareVersion"] == "2.1"
    assert "#x" not in found


def test_crate__written_twice_is_the_same(folder) -> None:
    first = write_crate(folder).read_bytes()
    assert write_crate(folder).read_bytes() == first


def test_crate__of_no_result_is_refused(tmp_path) -> None:
    with pytest.raises(ResultError, match="does not exist"):
        write_crate(tmp_path / "nowhere")
