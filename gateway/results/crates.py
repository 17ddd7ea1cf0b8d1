"""A result folder as an RO-Crate: what is in it, and what made it, for other tools.

The metadata file follows the RO-Crate 1.1 specification
(https://w3id.org/ro/crate/1.1) and the Process Run Crate profile 0.5
(https://w3id.org/ro/wfrun/process/0.5): a ``CreateAction`` with the software as its
instrument, the config as its object and every table, figure and report as its result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.errors import ResultError
from gateway.results.ownership import claim
from gateway.results.records import digest_own
from gateway.results.results import Result, open_result
from gateway.results.writing import CONFIG, METADATA, STATUS

CRATE = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
Entity = dict[str, Any]
# Whoever shows a crate makes a link of its licence.
_WEB = re.compile(r"https?://[A-Za-z0-9][^\s<>\"'\\\x00-\x20\x7f]*")

FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".toml": "application/toml",
}
MEANINGS = {
    CONFIG: "Config of the run, with every default",
    STATUS: "State, wall time and digests",
    "provenance.json": "Versions, commit, machine, time and memory",
    "report.html": "The report",
    "evaluation.parquet": "Detectors and scorer, measured against the truth",
    "gateways.parquet": "Groups by detector: score, estimate, interval, p and q value, rank",
    "groups.parquet": "What is known of every group",
    "truth.parquet": "What is known to be true of every group",
    "summary.parquet": "Counts and rules of the run",
}


def write_crate(folder: str | Path, *, license_url: str | None = None) -> Path:
    """Make a result folder an RO-Crate by writing its metadata file into it.

    Parameters
    ----------
    license_url
        Of the licence of the data; left out, the crate says that none is stated.

    Raises
    ------
    ResultError
        When the folder holds no finished result, or a metadata file of somebody else; when the
        licence is no address of the web.
    """
    if license_url is not None and not _WEB.fullmatch(license_url):
        rule = "must be an address, such as https://creativecommons.org/licenses/by/4.0/"
        raise ResultError(f"--license {rule}; got {license_url[:100]!a}")
    result = open_result(folder)
    if result.provenance.get("finished") is None:
        raise ResultError(f"{result.folder} does not say when its run was finished")
    # Before the digests are taken: the status lists the metadata file among its own.
    claim(result.folder, [METADATA])
    files = [p for p in sorted(result.folder.rglob("*")) if p.is_file() and p.name != METADATA]
    entities = [_file(path, result.folder) for path in files]
    graph = [_descriptor(), _root(result, entities, license_url), *entities, *_context(result)]
    graph += [_action(result, entities)]
    if license_url is not None:
        graph.append({"@id": license_url, "@type": "CreativeWork", "name": license_url})
    # The crate's vocabulary is of a schema.org that had no digests yet.
    terms = [f"{CRATE}/context", {"sha256": "https://schema.org/sha256"}]
    document = {"@context": terms, "@graph": graph}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    result.rewrite({METADATA: text.encode("utf-8")})
    return result.folder / METADATA


def _descriptor() -> Entity:
    return {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": CRATE},
    }


def _root(result: Result, files: Sequence[Entity], license_url: str | None) -> Entity:
    name = result.config.experiment.name
    stated = {"@id": license_url} if license_url is not None else "No licence is stated"
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Gateway groups: {name}",
        "description": f"Result of the experiment '{name}', seed {result.config.experiment.seed}: "
        "which groups lead people into a set of target groups.",
        "datePublished": result.provenance["finished"],
        "license": stated,
        "conformsTo": {"@id": PROFILE},
        "hasPart": [{"@id": entity["@id"]} for entity in files],
        "mentions": {"@id": "#run"},
    }


def _file(path: Path, folder: Path) -> Entity:
    name = path.relative_to(folder).as_posix()
    entity = {
        # A URI: what is not plain in a name is escaped.
        "@id": quote(name),
        "@type": "File",
        "name": name,
        "contentSize": str(path.stat().st_size),
        "sha256": digest_own(folder, name),
    }
    known = {"encodingFormat": FORMATS.get(path.suffix), "description": MEANINGS.get(name)}
    return entity | {key: value for key, value in known.items() if value is not None}


def _context(result: Result) -> list[Entity]:
    """What is neither file nor action: the software and the profile."""
    provenance = result.provenance
    version = str(provenance.get("gateway_version", "unknown"))
    software: Entity = {
        "@id": "#gateway",
        "@type": "SoftwareApplication",
        "name": "gateway",
        "softwareVersion": version,
        "softwareRequirements": [{"@id": f"#{name}"} for name in _packages(provenance)],
    }
    if provenance.get("commit"):
        dirty = ", with changes that are not committed" if provenance.get("dirty") else ""
        software["description"] = f"Commit {provenance['commit']}{dirty}"
    packages = [
        {"@id": f"#{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": v}
        for name, v in _packages(provenance).items()
    ]
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate",
               "version": "0.5"}  # fmt: skip
    return [profile, software, *packages]


def _packages(provenance: Mapping[str, Any]) -> dict[str, str]:
    known = {"python": provenance.get("python"), **provenance.get("packages", {})}
    return {name: str(version) for name, version in known.items() if version is not None}


def _action(result: Result, files: Sequence[Entity]) -> Entity:
    provenance = result.provenance
    finished = datetime.fromisoformat(provenance["finished"])
    begun = finished - timedelta(seconds=float(provenance.get("compute_seconds", 0.0)))
    made = [entity["@id"] for entity in files if entity["@id"] != CONFIG]
    machine = f"{provenance.get('cpu')}, {provenance.get('cores')} cores, "
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"gateway run, seed {result.config.experiment.seed}",
        "description": f"On {machine}{provenance.get('platform')}; peak memory "
        f"{provenance.get('peak_memory_mib')} MiB",
        "instrument": {"@id": "#gateway"},
        "object": {"@id": CONFIG},
        "result": [{"@id": name} for name in made],
        "startTime": begun.isoformat(timespec="seconds"),
        "endTime": finished.isoformat(timespec="seconds"),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
