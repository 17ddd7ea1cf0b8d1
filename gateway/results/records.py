"""What is read back of results and sweeps: nothing is believed that its schema does not hold.

A folder may come from a stranger, or be damaged. Each file is read once, as a plain file below
its folder and over no link; what is in it is checked here, and whoever asks gets values of the
types that stand here or a ``ResultError``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ResultError
from gateway.log.files import open_plain, read_plain
from gateway.results.writing import is_made, refuse_links

# A record is a page of text, of a sweep's failures a few; a journal has a line for each event.
LARGEST_RECORD = 2**24
_DEEPEST = 20
# What a table may take in memory.
LARGEST_TABLE = 2**32


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 1970 <= moment.year < 3000:
        raise ValueError("must be a time of today with its zone")
    return text


def _made(name: str) -> str:
    if not is_made(name):
        raise ValueError("must be a file of a result")
    return name


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, AfterValidator(_moment)]
Made = Annotated[str, AfterValidator(_made)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Word = Annotated[str, Field(max_length=1_000)]


class Record(BaseModel):
    """Base of what JSON holds: of strict types, whatever else there is."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class Status(Record):
    """``status.json``: what a folder is, and which files are its own."""

    format: Literal["gateway result, 1"]
    kind: Literal["run", "simulation", "reproduction", "failure"]
    state: Literal["done", "failed"] = "done"
    files: dict[Made, Digest] = {}
    written: tuple[Any, ...] = Field((), strict=False)
    reason: str = ""
    wall_seconds: Amount = 0.0


class Provenance(Record):
    """``provenance.json``: what made a result."""

    model_version: int
    finished: Moment | None = None
    compute_seconds: Amount = 0.0
    peak_memory_mib: Amount | None = None
    gateway_version: Word | None = None
    python: Word | None = None
    platform: Word | None = None
    cpu: Word | None = None
    cores: int | None = None
    commit: Word | None = None
    dirty: bool | None = None
    packages: dict[Word, Word | None] = {}


class Entry(Record):
    """A line of a sweep's journal."""

    time: Moment
    event: Word
    point: Word | None = None
    worker: Word | None = None
    pid: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    worker_peak_mib: Amount | None = None


R = TypeVar("R", bound=Record)


def read_own(folder: Path, name: str, most: int) -> bytes:
    """Return the content of a file below a folder.

    Raises
    ------
    ResultError
        When it is missing, a link, no plain file, or larger than ``most`` bytes.
    """
    return _read(folder, name, lambda path: read_plain(path, most, follow=False))


def digest_own(folder: Path, name: str) -> str:
    """Return the sha256 of a file below a folder; otherwise as ``read_own``."""

    def digest(path: Path) -> str:
        with open_plain(path, follow=False) as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST_TABLE:
                raise OSError(errno.EFBIG, f"it is larger than {LARGEST_TABLE:,} bytes")
            return hashlib.file_digest(stream, "sha256").hexdigest()

    return _read(folder, name, digest)


T = TypeVar("T")


def _read(folder: Path, name: str, read: Callable[[Path], T]) -> T:
    refuse_links(folder, name)
    try:
        return read(folder / name)
    except OSError as error:
        raise ResultError(f"{folder / name} cannot be read: {error.strerror}") from None


def read_record(model: type[R], folder: Path, name: str) -> R:
    """Return what a JSON file below a folder says.

    Raises
    ------
    ResultError
        When it cannot be read, or does not hold what the model says.
    """
    return model(**read_values(model, folder, name))


def read_values(model: type[Record], folder: Path, name: str) -> dict[str, Any]:
    """Return the same as plain values, in the order of the file."""
    try:
        return parse_values(model, read_own(folder, name, LARGEST_RECORD))
    except ValueError as error:
        raise ResultError(f"{folder / name} cannot be used: {error}") from None


def parse_values(model: type[Record], content: bytes) -> dict[str, Any]:
    """Return what JSON says, which holds what a model says.

    Raises
    ------
    ValueError
        When it is none, or does not, in a line.
    """
    try:
        values = json.loads(content, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it must be an object of JSON")
    if _depth(values) > _DEEPEST:
        raise ValueError("it is nested too deeply")
    try:
        model(**values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:60] for part in found["loc"])
        raise ValueError(f"{place!a}: {found['msg'].lower()}") from None
    return values


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _depth(value: Any) -> int:
    """Return how deeply lists and tables lie in one another, as far as that matters."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        depth += 1
        inner = [one for one in level if isinstance(one, dict | list)]
        level = [item for one in inner for item in (one.values() if isinstance(one, dict) else one)]
    return depth


# Tables --------------------------------------------------------------------------------------

# Columns that are read of each table: text, integers, floats, booleans. `?` may be null, `~`
# may be missing. A float may always be null: what is undefined.
_EVALUATED = "detector:s truth:s metric:s value:f ci_low:f ci_high:f"
_SHAPES: Mapping[str, str] = {
    "groups": "group:s role:s mechanism:s? strength:f topic:i? country:s? created:i? size:i "
    "is_target:b strikes:i?",
    "gateways": "detector:s group:s score:f estimate:f ci_low:f ci_high:f p_value:f q_value:f "
    "n_joiners:i n_events:i flagged:b level_held:b?~ rank:i?",
    "evaluation": f"{_EVALUATED} seed:i~",
    "benchmark": f"{_EVALUATED} n_worlds:i",
    "summary": "key:s value:s",
    "truth": "group:s planted:b direct_effect:f direct_se:f n_joins:i total_effect:f~ total_se:f~",
    "curves": "panel:i user:s position:i time:i group:s role:s before:f after:f spike:b "
    "is_target:b is_gateway:b",
    "reliability": "bin:i n:i predicted:f observed:f ci_low:f ci_high:f",
    "event_study": "detector:s flagged:b role:s n_groups:i offset:i n_events:i n_users:i mean:f "
    "change:f ci_low:f ci_high:f",
    "explanations": "detector:s rank:i group:s n_joiners:i n_events:i observed:i expected:f "
    "p_before:f p_after:f n_informative:i targets_after:i targets_expected:f odds_ratio:f "
    "ci_low:f ci_high:f next_group:s? next_lift:f",
    "strikes": "group:s month:s kind:s strikes:i",
    "interventions": "arm:s acts:s first_day:i n_groups:i target_joins:i benign_joins:i averted:f "
    "averted_low:f averted_high:f share_averted:f share_averted_low:f share_averted_high:f "
    "benign_lost:f benign_lost_low:f benign_lost_high:f cost:f cost_low:f cost_high:f "
    "harmful_averted:i n_diverged:i share_diverged:f",
    "intervention_sources": "arm:s source:s mechanism:s kind:s factual:i otherwise:i",
    "dose_response": "intervention:s chosen_by:s n_groups:i quantity:s value:f ci_low:f ci_high:f",
    "phase_diagram": "x_key:s x:f y_key:s y:f detector:s metric:s value:f n_worlds:i",
    "analyses/comparison": "id:s quantity:s published:f simulated:f ci_low:f ci_high:f tolerance:f "
    "within:b?",
    "analyses/label_times": "groups:s day:i labelled:i n:i workflow_day:i",
    "analyses/pathways": "gateway:s source:s requests:i confirmed:i",
    "calls": "detector:s group:s rank:i? estimate:f ci_low:f ci_high:f p_value:f q_value:f",
    "planted": "group:s role:s strength:f n_joiners:i added:i",
    "check": "detector:s claims:s log:s where:s? ratio:f metric:s value:f ci_low:f ci_high:f n:i",
    "reading": "what:s count:i text:s?",
    "verdicts": "group:s verdict:s changes:b recommends:b invites:b associated:b change_ratio:f "
    "change_ratio_low:f change_ratio_high:f seed_ratio:f seed_ratio_low:f seed_ratio_high:f "
    "member_ratio:f member_ratio_low:f member_ratio_high:f fellow_ratio:f fellow_ratio_low:f "
    "fellow_ratio_high:f averted:f~",
    "points": "point:i replicate:i seed:i key:s state:s digest:s?",
}  # fmt: skip
_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "s": pa.types.is_string, "i": pa.types.is_integer, "f": pa.types.is_floating,
    "b": pa.types.is_boolean,
}  # fmt: skip
_WORDS = {"s": "text", "i": "whole numbers", "f": "floats", "b": "true or false"}


def read_shaped(folder: Path, name: str, *, digest: str | None = None) -> pa.Table:
    """Return a table below a folder.

    Parameters
    ----------
    digest
        sha256 that the folder's status names; None where it names none.

    Raises
    ------
    ResultError
        When it cannot be read, is not the file of that digest, or does not have the columns of
        its name; of an unknown name any will do.
    """
    path, place = f"{name}.parquet", folder / f"{name}.parquet"
    content = read_own(folder, path, LARGEST_TABLE)
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise ResultError(f"{place} is not the file that the result lists: its sha256 differs")
    try:
        table = _decoded(content)
        broken = _misshapen(table, _SHAPES.get(name, ""))
    except (pa.ArrowException, OSError, ValueError) as error:
        first = (str(error).splitlines() or ["it is damaged"])[0]
        raise ResultError(f"{place} cannot be read: {ascii(first)[1:-1]}") from None
    if broken:
        raise ResultError(f"{place} cannot be used: {broken}")
    return table


def _decoded(content: bytes) -> pa.Table:
    """Return a table, after a look at how large it gets: some bytes can stand for any number."""
    # Texts stay numbers of a dictionary until it is known how long they are together.
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        texts = [c.path for c in (file.schema.column(i) for i in range(len(file.schema)))
                 if c.physical_type == "BYTE_ARRAY"]  # fmt: skip
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        unpacked = sum(group.total_byte_size for group in groups)
        _refuse_beyond(max(unpacked, 8 * file.metadata.num_rows * len(file.schema)))
    # No threads of Arrow's: one that lets go of the bytes while Python ends would end it badly.
    source = pa.BufferReader(content)
    with pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False) as file:
        table = file.read(use_threads=False)
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            pieces = [_spelt(piece) for piece in table.column(i).chunks]
            table = table.set_column(i, field.name, pa.chunked_array(pieces, pa.string()))
    return table


def _spelt(piece: pa.DictionaryArray) -> pa.Array:
    lengths = pc.binary_length(piece.dictionary).take(piece.indices)
    _refuse_beyond(pc.sum(lengths).as_py() or 0)
    return piece.cast(pa.string())


def _refuse_beyond(size: int) -> None:
    if size > LARGEST_TABLE:
        raise ValueError(f"it would take {size / 2**30:,.1f} GiB, more than {LARGEST_TABLE >> 30}")


def _misshapen(table: pa.Table, shape: str) -> str:
    """Return how a table differs from what its columns must be; nothing where it does not."""
    if len(set(table.column_names)) < len(table.column_names):
        return "a column is there twice"
    for column in shape.split():
        name, _, rule = column.partition(":")
        if name not in table.column_names:
            if "~" in rule:
                continue
            return f"it has no column '{name}'"
        if not _KINDS[rule[0]](table.schema.field(name).type):
            return f"column '{name}' must hold {_WORDS[rule[0]]}"
        if table[name].null_count and "?" not in rule and rule[0] != "f":
            return f"column '{name}' must hold no null"
    return ""
