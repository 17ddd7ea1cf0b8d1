"""Fuzzers of every reader: what it gives is sound, or the complaint is a line.

A few examples with ``make test``, thousands with ``make verify``. Each begins with what is
right and changes it: bytes of the file, or values of what is in it.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import parse_config
from gateway.errors import GatewayError
from gateway.log import read_names
from gateway.log.conversion import convert_log
from gateway.log.join_log import JoinLog
from gateway.results import SweepFolder, load_config
from gateway.results.locks import is_lock
from gateway.results.ownership import is_draft, kind_of, owned_files
from gateway.results.records import Entry, Provenance, Status, read_shaped, read_values
from tests.attacks.conftest import PROVENANCE
from tests.result_tables import result_tables
from tests.worlds import SMALL

MANY, FEW = 2_000, 40
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
STATUS = {"format": "gateway result, 1", "kind": "run", "state": "done", "reason": "",
          "files": {"config.toml": "0" * 64}, "written": ["status.json"]}  # fmt: skip
ENTRY = {"time": "2026-01-01T00:00:00+00:00", "event": "started", "point": "a", "worker": "pid 1",
         "pid": 1, "seconds": 1.0, "worker_peak_mib": 9.5}  # fmt: skip
LOG = b"user,group,time\n" + b"".join(b"u%d,g%d,%d\n" % (i % 7, i % 5, i) for i in range(40))

odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**60, 2**70), st.floats(),
    st.text(max_size=20), st.sampled_from(["../x", "/etc/passwd", "nan", "\x00", "\ud800"]),
)  # fmt: skip
values = st.recursive(
    odd,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def changed(right: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some keys with other values, some gone, some more."""
    keys = st.sampled_from([*right, "more"])
    gone = st.sets(st.sampled_from(list(right)), max_size=2)
    return st.tuples(st.dictionaries(keys, values, max_size=3), gone).map(
        lambda both: {k: v for k, v in (right | both[0]).items() if k not in both[1]}
    )


def damaged(right: bytes) -> st.SearchStrategy[bytes]:
    """Some bytes others, some cut off, some more."""
    cuts = st.integers(0, len(right))
    return st.tuples(cuts, cuts, st.binary(max_size=30)).map(
        lambda way: right[: min(way[:2])] + way[2] + right[max(way[:2]) :]
    )


def as_json(content: object) -> bytes:
    return json.dumps(content).encode("utf-8", "surrogatepass")


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


TABLES = result_tables(n_groups=400, n_panels=1)


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of a file of such a name, alone in a folder."""

    def call(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            return read(path)

    return call


def never_raises(path: Path) -> None:
    """What asks whether something is ours answers yes or no."""
    kind_of(path.parent)
    owned_files(path.parent)
    is_lock(path)
    is_draft(path.parent)


def converted(content: bytes) -> object:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "log.csv").write_bytes(LOG)
        (folder / "parts").mkdir()
        convert_log(folder / "log.csv", folder / "parts", memory=2**26)
        name, _, rest = content.partition(b"\x00")
        files = sorted((folder / "parts").iterdir())
        path = files[sum(name) % len(files)]
        right = bytearray(path.read_bytes())
        place = len(rest) * 7 % max(len(right), 1)
        right[place : place + len(rest)] = rest
        path.write_bytes(bytes(right))
        if path.suffix == ".npy":
            sign(folder / "parts", path)
        log = JoinLog.open(folder / "parts")
        assert log.n_joins == len(log.time)
        assert (log.group < log.n_groups).all()
        return log


def sign(folder: Path, path: Path) -> None:
    """Put a file's own digest into the manifest, as a stranger could."""
    import hashlib

    told = json.loads((folder / "manifest.json").read_bytes())
    told["digests"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(told))


def joins(path: Path) -> None:
    log = JoinLog.read(path)
    assert np.all(np.diff(log.offsets) >= 0)


def shaped(name: str) -> Callable[[bytes], object]:
    return of_file(f"{name}.parquet", lambda path: read_shaped(path.parent, name))


def record(model: Any, name: str) -> Callable[[bytes], object]:
    return of_file(name, lambda path: read_values(model, path.parent, name))


CONFIG = SMALL.encode()
READERS: dict[str, tuple[Callable[[bytes], object], st.SearchStrategy[bytes]]] = {
    "status": (record(Status, "status.json"), changed(STATUS).map(as_json)),
    "status, damaged": (record(Status, "status.json"), damaged(as_json(STATUS))),
    "provenance": (record(Provenance, "provenance.json"), changed(PROVENANCE).map(as_json)),
    "entry": (record(Entry, "e.json"), changed(ENTRY).map(as_json)),
    "journal": (
        of_file("execution.jsonl", lambda path: SweepFolder(path.parent).history()),
        st.lists(st.one_of(changed(ENTRY).map(as_json), damaged(as_json(ENTRY))), max_size=5).map(
            b"\n".join
        ),
    ),
    "failures": (
        of_file("failed/status.json", lambda path: SweepFolder(path.parents[1]).failures()),
        changed(STATUS).map(as_json),
    ),
    "ours": (of_file("status.json", never_raises), changed(STATUS).map(as_json)),
    "lock": (of_file("lock", never_raises), damaged(b'{"pid": 1, "host": "a"}')),
    "marker": (of_file(".gateway-draft.json", never_raises), damaged(as_json(STATUS))),
    "config": (of_file("c.toml", load_config), damaged(CONFIG)),
    "config, values": (
        lambda content: parse_config(CONFIG.decode(), overrides=[content.decode()]),
        st.tuples(
            st.sampled_from(["world.users", "spike.quantile", "targets.month", "score.horizon",
                             "world.countries", "interventions", "x.y"]),
            values.map(lambda value: json.dumps(value).encode("ascii")),
        ).map(lambda both: both[0].encode() + b"=" + both[1]),
    ),
    "csv": (of_file("l.csv", joins), damaged(LOG)),
    "names": (of_file("t.txt", read_names), st.binary(max_size=200)),
    "names of a column": (
        of_file("t.csv", lambda path: read_names(path, column="group")), damaged(LOG)
    ),
    "converted log": (converted, st.binary(min_size=2, max_size=40)),
    "log of parquet": (
        of_file("l.parquet", joins),
        damaged(as_parquet(pa.table({"user": ["a", "b"], "group": ["g", "h"], "time": [1, 2]}))),
    ),
    **{
        f"table {name}": (shaped(name), damaged(as_parquet(TABLES[name].slice(0, 50))))
        for name in ("gateways", "evaluation", "summary", "curves")
    },
}  # fmt: skip


def ask(reader: str, content: bytes) -> None:
    """Read; a complaint is a line that commands no terminal."""
    try:
        READERS[reader][0](content)
    except GatewayError as error:
        said = str(error)
    else:
        return
    lines = said.split("\n") if reader.startswith("config") else [said]
    assert all(line.isprintable() for line in lines), said


@pytest.mark.parametrize("reader", READERS)
def test_reader__gives_what_is_sound_or_complains(reader) -> None:
    @given(READERS[reader][1])
    @settings(max_examples=FEW, deadline=None, suppress_health_check=CHECKS)
    def fuzz(content: bytes) -> None:
        ask(reader, content)

    fuzz()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_reader__gives_what_is_sound_or_complains_for_thousands(reader) -> None:
    @given(READERS[reader][1])
    @settings(max_examples=MANY, deadline=None, suppress_health_check=CHECKS, derandomize=False)
    def fuzz(content: bytes) -> None:
        ask(reader, content)

    fuzz()
