"""Detection on a log on disk gives what it gives in memory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.detect import REGISTRY, detect
from gateway.detect.self_controlled.surrogates import affinity_to_targets, choose_surrogates
from gateway.errors import GatewayError, LogError
from gateway.joins import JoinLog
from gateway.joins_io.partitioned import partition_log
from gateway.partitioned import PartitionedLog, over_pieces, select_users
from gateway.targets import check_learnable, named_targets
from tests.worlds import linked_log

ROOT = Path(__file__).parents[1]
MEMORY = 2**26
IN_PARTS = [name for name, entry in REGISTRY.items() if entry.in_parts]


def _stored(joins: JoinLog, path: Path, seed: int) -> Path:
    """The three columns of a log as Parquet, the rows in any order."""
    table = joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    order = np.random.default_rng(seed).permutation(joins.n_joins)
    pq.write_table(table.take(order), path)
    return path


def _parts(joins: JoinLog, folder: Path, *, per_part: int, seed: int = 0) -> PartitionedLog:
    log = _stored(joins, folder / "log.parquet", seed)
    (folder / "parts").mkdir()
    partition_log(log, folder / "parts", memory=MEMORY, joins_per_part=per_part)
    return PartitionedLog.at(folder / "parts", memory=MEMORY)


@pytest.fixture(scope="module")
def whole() -> JoinLog:
    """A log of three columns, as read back: users without a join are not in it."""
    joins = linked_log(3, users=400, groups=30, days=200)
    return JoinLog.from_dataframe(
        joins.to_arrow().select(["user", "group", "time"]).replace_schema_metadata(None)
    )


def _assert_same(got, expected, *, tolerance: float) -> None:
    for field in dataclasses.fields(expected):
        ours, theirs = getattr(got, field.name), getattr(expected, field.name)
        pairs = (
            [(ours[name], theirs[name]) for name in theirs] if field.name == "extra"
            else [(ours, theirs)]
        )  # fmt: skip
        for a, b in pairs:
            if isinstance(b, np.ndarray) and b.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
            elif isinstance(b, np.ndarray):
                assert a.tolist() == b.tolist(), field.name
            else:
                assert a == b, field.name


CASES = [
    ("frequentist", {"min_joiners": 1}, 0.0),
    # The expected counts are sums of fractions, added part by part: the last bits differ.
    ("order", {"min_joiners": 1}, 1e-9),
    ("self_controlled", {"model": "univariate", "surrogates": "none", "min_joiners": 1}, 0.0),
    ("self_controlled", {"pre_window": 9, "risk_window": 30, "min_joiners": 1}, 0.0),
    ("self_controlled", {"min_joiners": 1}, 0.0),
]


@pytest.mark.parametrize("per_part", [1, 97, 10**5])
@pytest.mark.parametrize(("name", "options", "tolerance"), CASES)
def test_detect__is_the_same_in_parts(tmp_path, whole, name, options, tolerance, per_part):
    per_part = max(per_part, 60) if name == "self_controlled" else per_part
    log = _parts(whole, tmp_path, per_part=per_part, seed=per_part)
    names = whole.groups.to_pylist()[:3]
    expected = detect(whole, named_targets(whole, names), detector=name, **options)
    got = detect(log, named_targets(log, names), detector=name, **options)
    _assert_same(got, expected, tolerance=tolerance)
    assert expected.rank.any()


def test_frequentist__is_the_same_in_parts_with_a_horizon(tmp_path, whole):
    log = _parts(whole, tmp_path, per_part=50)
    targets = named_targets(whole, whole.groups.to_pylist()[:3])
    expected = detect(whole, targets, detector="frequentist", horizon=40, min_joiners=1)
    got = detect(log, targets, detector="frequentist", horizon=40, min_joiners=1)
    _assert_same(got, expected, tolerance=0.0)


def test_affinity__is_the_same_bits_in_parts(tmp_path, whole):
    log = _parts(whole, tmp_path, per_part=31)
    targets = named_targets(whole, whole.groups.to_pylist()[:3])
    got, expected = affinity_to_targets(log, targets), affinity_to_targets(whole, targets)
    assert got.tolist() == expected.tolist()
    got, expected = (choose_surrogates(each, targets, seed=1) for each in (log, whole))
    assert got.tolist() == expected.tolist()


def test_parts__are_logs_that_add_up_to_the_whole(tmp_path, whole):
    log = _parts(whole, tmp_path, per_part=77)
    parts = list(over_pieces(log, _itself))
    assert len(parts) > 3
    assert pa.concat_arrays([part.users for part in parts]).equals(whole.users)
    assert (log.n_users, log.n_joins, log.n_groups) == (
        whole.n_users, whole.n_joins, whole.n_groups,
    )  # fmt: skip
    assert sum(part.sizes() for part in parts).tolist() == log.sizes().tolist()
    assert log.sizes().tolist() == whole.sizes().tolist()
    assert (log.tick, log.origin, log.span) == (whole.tick, whole.origin, whole.span)


def _itself(part: JoinLog) -> JoinLog:
    return part


def _everybody(part: JoinLog) -> np.ndarray:
    return np.ones(part.n_users, bool)


def test_select_users__brings_back_the_whole_log(tmp_path, whole):
    log = _parts(whole, tmp_path, per_part=77)
    got = select_users(log, _everybody, what="all")
    assert got.equals(whole)


def test_check_learnable__counts_over_all_parts(tmp_path, whole):
    log = _parts(whole, tmp_path, per_part=1)
    check_learnable(log, named_targets(log, whole.groups.to_pylist()[:3]))
    lonely = JoinLog.from_arrays(["a", "b", "c"], ["t", "x", "y"], [1, 2, 3])
    (tmp_path / "other").mkdir()
    log = _parts(lonely, tmp_path / "other", per_part=1)
    with pytest.raises(LogError, match="one user does"):
        check_learnable(log, named_targets(log, "t"))


_MEASURE = """
import sys
import gateway.cli.outcome
from gateway.detect import detect
from gateway.partitioned import PartitionedLog
from gateway.provenance import peak_memory_mib
from gateway.targets import check_learnable, named_targets

for folder, targets in ((sys.argv[1], range(3)), (sys.argv[2], range(3_000, 3_030))):
    start = peak_memory_mib()
    log = PartitionedLog.at(folder, memory=int(sys.argv[3]))
    chosen = named_targets(log, [f"g{k:07}" for k in targets])
    check_learnable(log, chosen)
    detect(log, chosen, detector="frequentist")
    detect(log, chosen, detector="order")
    detect(log, chosen, detector="self_controlled", surrogates="none")
print(peak_memory_mib() - start, log.n_joins)
"""


@pytest.mark.compiled
def test_detect__keeps_to_its_memory_on_a_log_four_times_as_large(tmp_path, whole):
    """The columns of the log alone, in memory, take more than four times what is allowed."""
    _parts(whole, tmp_path, per_part=1_000)
    rng = np.random.default_rng(4)
    n, large = 2_000_000, tmp_path / "large"
    names = np.array([f"{'a long name of a user, ' * 5}{k:07}" for k in range(50_000)])
    groups = np.array([f"g{k:07}" for k in range(5_000)])
    table = pa.table(
        {
            "user": names[rng.integers(0, len(names), n)],
            "group": groups[rng.zipf(1.2, n) % len(groups)],
            "time": rng.integers(0, 10**8, n),
        }
    )
    assert table.nbytes > 4 * MEMORY
    large.mkdir()
    pq.write_table(table, tmp_path / "large.parquet")
    partition_log(tmp_path / "large.parquet", large, memory=MEMORY, joins_per_part=60_000)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path / "parts"), str(large), str(MEMORY)],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    peak, joins = map(float, done.stdout.split())
    assert joins > 1_000_000
    assert peak < MEMORY / 2**20


# Errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - set(IN_PARTS)))
def test_detect__says_which_detector_needs_the_log_in_memory(tmp_path, whole, name):
    log = _parts(whole, tmp_path, per_part=1_000)
    with pytest.raises(GatewayError, match="needs the log in memory"):
        detect(log, named_targets(log, whole.groups.to_pylist()[:3]), detector=name)


def test_at__refuses_what_is_not_converted(tmp_path, whole):
    log = _stored(whole, tmp_path / "log.parquet", 0)
    for path in (log, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LogError, match="gateway convert"):
            PartitionedLog.at(path, memory=MEMORY)


def test_at__refuses_parts_too_large_for_the_memory(tmp_path, whole):
    _parts(whole, tmp_path, per_part=10**5)
    with pytest.raises(LogError, match=r"must be at least .* for the largest part"):
        PartitionedLog.at(tmp_path / "parts", memory=2**20)


def test_self_controlled__refuses_cases_too_many_for_the_memory(tmp_path, whole, monkeypatch):
    log = _parts(whole, tmp_path, per_part=50)
    monkeypatch.setattr("gateway.partitioned.log._BYTES_PER_JOIN", MEMORY // 1_000)
    with pytest.raises(LogError, match="users with an event"):
        detect(log, named_targets(log, whole.groups.to_pylist()[:3]), detector="self_controlled")


@pytest.mark.parametrize("kind", ["truncated", "swapped", "shuffled"])
def test_parts__that_were_changed_are_refused(tmp_path, whole, kind):
    log = _parts(whole, tmp_path, per_part=77)
    first, second = (tmp_path / "parts" / part.file for part in log.manifest.parts[:2])
    if kind == "truncated":
        first.write_bytes(first.read_bytes()[:-20])
    elif kind == "swapped":
        pq.write_table(pq.read_table(second)[:-1], first)
    else:
        pq.write_table(pq.read_table(first)[::-1], first)
    with pytest.raises(LogError, match=r"part-00000\.parquet"):
        list(log.parts())


# The command -----------------------------------------------------------------------------


def _detect(log: Path, out: Path, *more: str) -> None:
    command = ["detect", str(log), "--out", str(out), "--target", "g0000000", "--target",
               "g0000001", "--detector", "frequentist", "--detector", "self_controlled",
               "--detector", "order", *more]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception


def test_command__gives_the_tables_of_the_log_in_memory(tmp_path, whole):
    _parts(whole, tmp_path, per_part=100)
    _detect(tmp_path / "parts", tmp_path / "whole")
    _detect(tmp_path / "parts", tmp_path / "in_parts", "--memory", "64MiB")
    for name in ("groups", "gateways", "evaluation", "summary"):
        expected = pq.read_table(tmp_path / "whole" / f"{name}.parquet")
        got = pq.read_table(tmp_path / "in_parts" / f"{name}.parquet")
        assert got.schema == expected.schema
        for column in expected.column_names:
            a, b = got[column], expected[column]
            if pa.types.is_floating(b.type):
                # The sums of ``order`` are added part by part; the rest is the same bits.
                np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-9, atol=1e-9)
            else:
                assert a.equals(b), (name, column)


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--memory", "2GiB", "--detector", "matching"], "'matching' needs the log in memory"),
        (["--memory", "2GiB", "--set", 'score.scorer="markov"'], "score.scorer must be 'logistic'"),
        (["--memory", "2GiB", "--set", 'score.calibration="isotonic"'], "needs the log in memory"),
        (["--memory", "lots", "--detector", "order"], "such as 2GiB"),
        (["--memory", "2GiB", "--detector", "order", "--user-column", "who"], "columns are user"),
    ],
)
def test_command__refuses_what_cannot_be_done_in_parts(tmp_path, whole, more, rule):
    _parts(whole, tmp_path, per_part=1_000)
    command = ["detect", str(tmp_path / "parts"), "--out", str(tmp_path / "out"),
               "--target", "g0000000", *more]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, GatewayError)
    assert rule in str(done.exception)
    assert not (tmp_path / "out").exists()


WINDOWED = [
    ("frequentist", {"min_joiners": 1, "horizon": 40}),
    ("order", {"min_joiners": 1}),
    ("self_controlled", {"surrogates": "none", "min_joiners": 1}),
]


@pytest.mark.parametrize(("name", "options"), WINDOWED)
def test_detect__sees_windows_and_users_without_a_join(tmp_path, name, options):
    linked = linked_log(3, users=400, groups=30, days=200)
    first = np.append(np.minimum.reduceat(linked.time, linked.offsets[:-1]), [0, 3])
    joins = JoinLog.from_arrays(
        linked.user(), linked.group, linked.time, groups=linked.groups.to_pylist(),
        users=[*linked.users.to_pylist(), "nobody", "u0000001 again"],
        observed_from=first // 2, observed_until=200 + np.arange(len(first)) % 30,
    )  # fmt: skip
    assert (np.diff(joins.offsets) == 0).any()
    joins.to_parquet(tmp_path / "log.parquet")
    (tmp_path / "parts").mkdir()
    partition_log(tmp_path / "log.parquet", tmp_path / "parts", memory=MEMORY, joins_per_part=90)
    log = PartitionedLog.at(tmp_path / "parts", memory=MEMORY)
    names = joins.groups.to_pylist()[:3]
    expected = detect(joins, named_targets(joins, names), detector=name, **options)
    got = detect(log, named_targets(log, names), detector=name, **options)
    _assert_same(got, expected, tolerance=1e-9 if name == "order" else 0.0)
