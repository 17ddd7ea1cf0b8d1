"""What the scaling and peer experiments compute from their measurements."""

from __future__ import annotations

import importlib
import json
import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import peers, scaling, scaling_model
from experiments.machine_kernels import gather, plain_loop, triad
from experiments.memory import peak_mib, resident_mib, restart_peak
from experiments.peer_works import WORKS
from experiments.stages import STAGES, Needs, Size, draw_to
from experiments.synthetic import TICKS, draw_log, log_of, targets_of

START, LIBRARY = 20.0, 300.0


def _row(stage: str, series: str, joins: int, groups: int, **given: Any) -> dict[str, Any]:
    """A point of a stage that follows the model exactly."""
    reads = 1e9 / np.log10(groups)
    seconds = 0.01 + 2e-9 * joins + 3.0 * joins / reads + 5e-7 * groups
    memory = START + (40.0 * joins + 16.0 * groups) / 2**20
    return {
        "stage": stage, "series": series, "users": joins // 10, "groups": groups, "joins": joins,
        "threads": 2, "rows": joins, "evaluations": 20, "repeats": 3, "seconds": 20 * seconds,
        "cpu_seconds": 30 * seconds, "start_mib": LIBRARY, "base_mib": LIBRARY + memory / 2,
        "added_mib": memory / 2, "bandwidth_gb": 20.0, "pages_gb": 10.0, "reads_m": reads / 1e6,
        "user_reads_m": 500.0, "status": "ok",
    } | given  # fmt: skip


ROWS = [
    *(_row("train", "joins", joins, 5_000) for joins in (10**5, 10**6, 10**7, 10**8)),
    *(_row("train", "groups", 10**7, groups) for groups in (10**3, 10**4, 10**5, 10**6)),
]


def test_cost__is_found_again_from_points_that_follow_the_model() -> None:
    cost = scaling_model.cost_of(ROWS, "train")
    assert cost.time == pytest.approx([0.01, 2e-9, 3.0, 5e-7], rel=1e-6)
    assert cost.memory == pytest.approx([START * 2**20, 40.0, 16.0], rel=1e-6)
    assert cost.worst < 1e-9
    assert (cost.points, cost.evaluations) == (8, 20)


def test_cost__of_a_stage_measured_over_users_has_no_part_of_the_groups() -> None:
    rows = [_row("simulate", "users", 0, n // 4, users=n, rows=15 * n, evaluations=1,
                 seconds=1e-6 * 15 * n) for n in (10**4, 10**5, 10**6)]  # fmt: skip
    cost = scaling_model.cost_of(rows, "simulate")
    assert cost.time == pytest.approx([0.0, 1e-6, 0.0, 0.0], abs=1e-12)


def test_projection__counts_what_workers_send_to_and_fro() -> None:
    cost = scaling_model.cost_of(ROWS, "train")
    sent, seconds = scaling_model._communication(scaling_model.SHARED["train"], cost, 8)
    # 20 evaluations of 10^6 groups, eight bytes to each of 8 workers and from each of 16 chunks.
    assert sent == 20 * 10**6 * 8 * (8 + 16)
    assert seconds == pytest.approx(sent / 1.25e9 + 20 * 2e-3)
    # More than 16 workers would have no chunk to hold.
    more, _ = scaling_model._communication(scaling_model.SHARED["train"], cost, 64)
    assert more == 20 * 10**6 * 8 * (16 + 16)


def test_needs__are_the_time_of_bytes_new_pages_and_visits() -> None:
    needs = Needs(40.0, new=20.0, visits=2.0, user_visits=1.0, group_bytes=100.0)
    point = {"rows": 1_000, "groups": 50, "bandwidth_gb": 20.0, "pages_gb": 10.0,
             "reads_m": 1_000.0, "user_reads_m": 500.0}  # fmt: skip
    # 2 ns of bytes, 2 of new pages, 2 and 2 of reads for each row; 5 ns for each group.
    assert needs.seconds(point) == pytest.approx(1_000 * 8e-9 + 50 * 5e-9)


def test_tables__hold_every_stage_and_what_did_not_finish() -> None:
    failed = _row("train", "joins", 10**9, 5_000, status="did not finish in 600 s")
    rows = [*ROWS, failed | dict.fromkeys(("seconds", "added_mib"))]
    exponents = scaling_model.exponents_table(rows)
    assert "1,000,000,000: did not finish in 600 s" in exponents
    assert "train | joins | 100,000,000" in exponents
    assert "10 B + 2 by group + 352 B a group" in scaling_model.limits_table(rows)
    projected = scaling_model.projections(rows)
    assert "10^10 joins: memory" in projected
    assert "too much" in projected


def test_cluster_table__sets_workers_beside_one_process_and_bytes_beside_the_formula() -> None:
    def row(workers: int, threads: int, seconds: float, sent: float) -> dict[str, str]:
        given = {"fit": "train", "joins": 10**6, "groups": 5_000, "workers": workers,
                 "threads": threads, "rate": "1gbit", "evaluations": 12, "setup_seconds": 0.5,
                 "fit_seconds": seconds, "bytes_per_evaluation": sent}  # fmt: skip
        return {name: str(value) for name, value in given.items()}

    table = scaling_model.cluster_table([row(0, 2, 1.5, 0.0), row(2, 1, 3.5, 7.5e5)])
    one, two = table.splitlines()[2:]
    assert "this process, 2 threads | – | 12 | 2.00 | 1.00 | – | –" in one
    # 57 kB, with the covariates' cells, to each of two workers and from each of sixteen chunks.
    assert "2 workers | 1gbit | 12 | 4.00 | 0.50 | 750 | 1,024" in two


def test_table__is_read_back_as_it_was_stored(tmp_path: Path) -> None:
    failed = {"stage": "train", "series": "joins", "users": 1, "groups": 2, "joins": 3,
              "status": "ended with code -9"}  # fmt: skip
    scaling.store([ROWS[0], failed], tmp_path)
    got = scaling.read_table(tmp_path)
    assert got[0] == pytest.approx(ROWS[0])
    assert got[1] == {name: failed.get(name) for name in scaling.COLUMNS}


def test_points__of_full_size_reach_what_the_design_asks_for() -> None:
    found = list(scaling.points("full", list(STAGES)))
    assert {stage for stage, *_ in found} == set(STAGES)
    assert max(joins for *_, joins in found) >= 10**8
    assert {users for _, _, users, _, _ in found} >= {10**4, 10**7}
    assert {groups for _, series, _, groups, _ in found if series == "groups"} == {
        10**3, 10**4, 10**5, 10**6,
    }  # fmt: skip


def test_page__gets_the_tables_between_its_marks_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n")
    scaling.put_tables(page, {"a": "| new |"})
    expected = "before\n<!-- begin a -->\n\n| new |\n\n<!-- end a -->\nafter\n"
    assert page.read_text() == expected
    scaling.put_tables(page, {"a": "| new |"})
    assert page.read_text() == expected


def test_page__without_a_mark_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no marks for 'a'"):
        scaling.put_tables(page, {"a": "| new |"})


def test_apart__says_that_a_point_did_not_finish() -> None:
    assert scaling.apart(["model"], 0.01) == ("did not finish in 0 s", "")


def test_draw_log__is_a_log_without_repeats_and_the_same_each_time(tmp_path: Path) -> None:
    offsets, group, time = draw_log(3_000, 200, 20_000)
    log = log_of(offsets, group, time, groups=200)
    pairs = log.user().astype(np.int64) * 200 + log.group
    assert len(np.unique(pairs)) == log.n_joins
    # The repeats of the popular groups are gone; Poisson numbers scatter by one in 140.
    assert 0.7 * 20_000 < log.n_joins < 20_000
    assert log.time.max() < TICKS
    draw_to(Size(3_000, 200, 20_000, tmp_path))
    assert np.array_equal(np.load(tmp_path / "group.npy"), group)


def test_draw_log__has_users_with_a_taste_that_leads_to_targets() -> None:
    log = log_of(*draw_log(20_000, 1_000, 200_000), groups=1_000)
    joins_target = np.zeros(log.n_users, bool)
    joins_target[log.user()[targets_of(1_000).mask[log.group]]] = True
    to_taste = np.bincount(log.user(), log.group % 10 == 0, log.n_users)
    share = to_taste / np.diff(log.offsets).clip(1)
    # Without a taste both would be near a tenth; here it is .23 beside .13.
    assert share[joins_target].mean() > 1.5 * share[~joins_target].mean()


def test_memory__sees_an_array_come_and_forgets_it() -> None:
    """Pages of its own: an array from the heap may get some that earlier tests gave back."""
    before = resident_mib()
    restart_peak()
    with mmap.mmap(-1, 64 << 20) as pages:
        for _ in range(64):
            pages.write(bytes(1 << 20))
        with_array = peak_mib() - before
    restart_peak()
    assert with_array > 60.0
    assert peak_mib() - before < 30.0


def test_machine_kernels__do_what_numpy_does() -> None:
    rng = np.random.default_rng(1)
    a, b, c, bounds = np.zeros(103), rng.random(103), rng.random(103), np.array([0, 50, 103])
    triad(a, b, c, 3.0, bounds)
    # A compiler may round once where numpy rounds twice.
    np.testing.assert_allclose(a, b + 3.0 * c, rtol=1e-15)
    index = rng.integers(0, 103, 80, dtype=np.int32)
    total = np.zeros(2)
    gather(b, index, np.array([0, 32, 80]), total)
    np.testing.assert_allclose(total, [b[index[:32]].sum(), b[index[32:]].sum()], rtol=1e-13)
    np.testing.assert_allclose(plain_loop(b, index), np.exp(-b[index]).sum(), rtol=1e-13)


@pytest.mark.parametrize("key", ["spike", "removal", "survival", "conditional", "friends"])
def test_peer_work__has_an_input_of_any_size_and_a_name(key: str) -> None:
    work = WORKS[key]
    given = work.draw(0.01 if key == "spike" else 0.05)
    assert any(letter.isdigit() for letter in work.size(given))
    assert work.peers


def test_protocol__warms_up_on_the_small_input_and_times_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(peers.__file__).parent / "peers"))
    protocol = importlib.import_module("protocol")
    for name, size in (("small", 10), ("input", 1 << 21)):
        np.savez(tmp_path / f"{name}.npz", x=np.arange(size))
    done: list[int] = []

    def doubled(given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            done.append(len(given["x"]))
            return {"total": (2 * given["x"]).sum()}

        return work

    files = [str(tmp_path / f"{name}.npz") for name in ("small", "input", "answer")]
    monkeypatch.setattr(sys, "argv", ["script", "doubled", *files])
    protocol.serve({"doubled": doubled})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    with np.load(tmp_path / "answer.npz") as answer:
        assert answer["total"] == 2 * np.arange(1 << 21).sum()
    # The small input, the input once untimed, then it several times.
    assert done[0] == 10
    assert set(done[1:]) == {1 << 21}
    assert 2 <= len(done) - 1 <= protocol.OFTEN + 1
    assert found["seconds"] > 0
    # Two arrays of 16 MiB at a time, of which the input was there before: no third one.
    assert found["mib"] < 40


def test_peers_table__names_who_did_not_finish(tmp_path: Path) -> None:
    done = {"key": "spike", "work": "w", "size": "s", "peer": "pandas", "status": "ok",
            "rounds": 3, "our_seconds": 1.0, "seconds": 4.0, "time_ratio": 4.0, "least_ratio": 3.5,
            "most_ratio": 4.5, "our_mib": 100.0, "mib": 250.0, "memory_ratio": 2.5,
            "agreement": "equal"}  # fmt: skip
    late = {"key": "simulate", "work": "v", "size": "s", "peer": "T-RECS", "our_seconds": 1.0,
            "our_mib": 100.0, "status": "did not finish in 10 minutes"}  # fmt: skip
    peers.write_rows([done, late], tmp_path)
    table = (tmp_path / "peers.md").read_text()
    assert "**4** (3.5 to 4.5)" in table
    assert "T-RECS | did not finish in 10 minutes" in table
    # In the order of the works, whatever was measured last.
    assert [row["key"] for row in peers.read_rows(tmp_path / "peers.csv")] == ["simulate", "spike"]
