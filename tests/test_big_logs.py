"""What is done in another way where a log is large gives what the plain way gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import randomness
from gateway._numba import set_threads, threads
from gateway.detect.self_controlled import surrogates
from gateway.detect.self_controlled.preparation import Preparation
from gateway.errors import LogError
from gateway.log import numbering, row_sources, sorting
from gateway.log.join_log import JoinLog
from gateway.randomness import name_uniforms
from tests import naive
from tests.worlds import first_groups, random_log

# Names ------------------------------------------------------------------------------------

LENGTHS = [1, 2, 63, 64, 127, 128, 129, 255, 256, 257, 400]


@pytest.mark.compiled
@pytest.mark.parametrize("seed", [0, 1, 2**40, 2**64 - 1])
def test_name_uniforms__of_an_array_are_those_of_the_list(seed, monkeypatch):
    monkeypatch.setattr(randomness, "_MANY", 0)
    names = ["ü" * n for n in LENGTHS] + ["x" * n for n in LENGTHS] + ["", "日本", "a\0b", "🙂"]
    expected = (np.array(naive.name_words(names, seed), np.uint64) >> np.uint64(11)) * 2.0**-53
    np.testing.assert_array_equal(name_uniforms(pa.array(names), seed=seed), expected)
    np.testing.assert_array_equal(name_uniforms(names, seed=seed), expected)
    # A slice begins within the buffers.
    np.testing.assert_array_equal(name_uniforms(pa.array(names)[7:], seed=seed), expected[7:])


@given(st.sets(st.text(max_size=12), min_size=2), st.sampled_from(["", "user_", "ü"]))
def test_text_order__is_that_of_the_bytes(names, prefix):
    texts = pa.array([prefix + name for name in sorted(names, reverse=True)], pa.string())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "_MANY", 0)
        got = texts.take(pa.array(numbering.text_order(texts))).to_pylist()
    assert got == sorted(texts.to_pylist(), key=str.encode)


@given(st.lists(st.one_of(st.integers(0, 999), st.integers(0, 10**17 - 1))))
def test_text_keys__stand_in_the_order_of_the_texts(numbers):
    keys, order = numbering.text_keys(np.array(numbers, np.int64))
    got = [numbers[k] for k in order]
    assert [str(number) for number in got] == sorted(map(str, numbers))
    assert numbering.names_of_keys(keys).to_pylist() == sorted(map(str, numbers))
    assert keys.tolist() == sorted(keys.tolist())


@pytest.mark.parametrize("number", [-1, 10**17])
def test_text_keys__are_not_of_numbers_without_one(number):
    assert numbering.text_keys(np.array([3, number])) is None


@pytest.mark.parametrize("largest", [5, 2**62])
def test_sorted_with_order__gives_the_order_of_the_keys(largest):
    key = np.random.default_rng(3).integers(0, largest, 1_000)
    got, order = sorting.sorted_with_order(key)
    np.testing.assert_array_equal(got, np.sort(key))
    np.testing.assert_array_equal(key[order], got)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(key)))


# Rows -------------------------------------------------------------------------------------


def random_rows(seed, n, users=7, groups=60, least=-20):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, users, n), rng.integers(0, groups, n), rng.integers(least, 30, n)
    return [column.astype(np.int32) for column in columns]


@pytest.mark.parametrize("n", [1, 40, 900])
@pytest.mark.parametrize("by_user", [False, True])
def test_canonical__equal_the_twin(n, by_user, monkeypatch):
    monkeypatch.setattr(sorting, "_LARGE", 0)
    # Of 900 rows a user has more than are sorted by insertion.
    user, group, time = random_rows(n, n)
    if by_user:
        user = np.sort(user)
    given_ = [user.copy(), group.copy(), time.copy()]
    offsets, got = sorting.canonical(user, group, time, n_users=9, others={})
    order = zip(np.repeat(np.arange(9), np.diff(offsets)), got["time"], got["group"], strict=True)
    assert [tuple(map(int, row)) for row in order] == naive.log_rows(user, group, time)
    for column, before in zip((user, group, time), given_, strict=True):
        np.testing.assert_array_equal(column, before)


def test_canonical__take_times_from_end_to_end(monkeypatch):
    monkeypatch.setattr(sorting, "_LARGE", 0)
    ends = np.iinfo(np.int32)
    time = np.array([ends.max, ends.min, 0, ends.max], np.int32)
    group = np.array([2, 2, 2**31 - 1, 1], np.int32)
    _, got = sorting.canonical(np.zeros(4, np.int32), group, time, n_users=1, others={})
    assert got["group"].tolist() == [2, 2**31 - 1, 1]
    assert got["time"].tolist() == [ends.min, 0, ends.max]


@pytest.mark.compiled
def test_canonical__do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(sorting, "_LARGE", 0)
    columns = random_rows(5, 20_000, users=500)
    before, found = threads(), []
    for count in (1, 2):
        set_threads(count)
        offsets, joins = sorting.canonical(*columns, n_users=500, others={"inviter": columns[1]})
        found.append((offsets, *joins.values()))
    set_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


# Parquet ----------------------------------------------------------------------------------


def table(kind, seed=2, n=500):
    user, group, time = random_rows(seed, n, users=90, groups=40, least=0)
    text = {"user": [f"u{u}" for u in user], "group": [f"ü{g}" for g in group]}
    names = {
        "text": pa.table(text),
        "large text": pa.table(text).cast(
            pa.schema([("user", pa.large_string()), ("group", pa.large_string())])
        ),
        "categories": pa.table({k: pa.array(v).dictionary_encode() for k, v in text.items()}),
        "int32": pa.table({"user": user, "group": group}),
        "int8": pa.table({"user": user.astype(np.int8), "group": group}),
        "uint32": pa.table({"user": user.astype(np.uint32), "group": group}),
        "negative": pa.table({"user": user - 40, "group": group}),
        "far apart": pa.table({"user": user.astype(np.int64) * 10**15, "group": group}),
        "uint64": pa.table({"user": user.astype(np.uint64), "group": group}),
    }[kind]
    days = pa.array(time, pa.int32()).cast(pa.date32())
    return names.append_column("time", days)


KINDS = ["text", "large text", "categories", "int32", "int8", "uint32", "negative", "far apart",
         "uint64"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_read__parquet_block_by_block_is_the_log_of_the_table(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(row_sources, "_ROW_GROUP", 64)
    monkeypatch.setattr(numbering, "_HELD", 50)
    whole = table(kind)
    pq.write_table(whole, tmp_path / "log.parquet", row_group_size=150)
    expected = JoinLog.from_dataframe(whole)
    assert JoinLog.read(tmp_path / "log.parquet").equals(expected)


@pytest.mark.parametrize("kind", ["text", "int32"])
def test_read__of_shuffled_parts_is_the_same_log(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "_LARGE", 0)
    whole = table(kind)
    by_user = whole.sort_by([("user", "ascending"), ("time", "ascending")])
    shuffled = whole.take(pa.array(np.random.default_rng(0).permutation(len(whole))))
    logs = []
    for name, rows_ in (("sorted", by_user), ("shuffled", shuffled)):
        (tmp_path / name).mkdir()
        for i, part in enumerate((rows_[:100], rows_[100:100], rows_[100:])):
            pq.write_table(part, tmp_path / name / f"{i}.parquet")
        logs.append(JoinLog.read(tmp_path / name))
    assert logs[0].equals(logs[1])
    assert logs[0].equals(JoinLog.from_dataframe(whole))


def test_read__numbers_and_text_in_one_log_are_names_alike(tmp_path):
    numbers, text = table("int32"), table("int32", seed=3)
    text = text.set_column(0, "user", text["user"].cast(pa.string()))
    for i, part in enumerate((numbers, text)):
        pq.write_table(part, tmp_path / f"{i}.parquet")
    both = pa.concat_tables(
        [t.set_column(0, "user", t["user"].cast(pa.string())) for t in (numbers, text)]
    )
    assert JoinLog.read(tmp_path).equals(JoinLog.from_dataframe(both))


def test_read__a_name_that_no_row_has_is_no_user(tmp_path):
    whole = table("int32")
    codes = pa.array(np.arange(len(whole)) % 2, pa.int32())
    names = pa.DictionaryArray.from_arrays(codes, pa.array(["ann", "eve", "nobody"]))
    pq.write_table(whole.set_column(0, "user", names), tmp_path / "x.parquet")
    assert JoinLog.read(tmp_path / "x.parquet").users.to_pylist() == ["ann", "eve"]


@pytest.mark.parametrize("bad", [None, ""])
def test_read__says_which_row_of_the_file_is_bad(bad, tmp_path, monkeypatch):
    monkeypatch.setattr(row_sources, "_ROW_GROUP", 64)
    whole = table("text")
    names = whole["user"].to_pylist()
    names[200] = names[300] = bad
    pq.write_table(whole.set_column(0, "user", pa.array(names)), tmp_path / "x.parquet")
    with pytest.raises(LogError, match="got nothing in data row 201, and 1 more row"):
        JoinLog.read(tmp_path / "x.parquet")


# Surrogates -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log():
    joins = random_log(3, users=40, groups=9)
    return joins, first_groups(joins, 2)


def test_joins_before__equal_the_twin(log):
    joins, targets = log
    got = surrogates._add_joins_before(joins, targets)
    np.testing.assert_array_equal(got, naive.joins_before(joins, targets.mask))


def test_sample__of_cases_does_not_depend_on_rows(monkeypatch):
    joins = random_log(11, users=300, groups=12)
    targets = first_groups(joins, 2)

    def cases(log):
        sample = surrogates.sample_of(log, targets.mask, seed=1)
        return Preparation().slots(log, targets.mask, ~targets.mask, sample=sample)[0].user

    everybody = cases(joins)
    monkeypatch.setattr(surrogates, "MOST_CASES", 60)
    got = cases(joins)
    whole = joins.to_arrow().replace_schema_metadata(None)
    order = pa.array(np.random.default_rng(0).permutation(len(whole)))
    again = JoinLog.from_dataframe(whole.take(order))
    assert again.users.equals(joins.users)
    np.testing.assert_array_equal(got, cases(again))
    # Binomial: 60 expected, within four standard deviations.
    assert abs(len(got) - 60) < 31 < len(everybody) - 60
    assert np.isin(got, everybody).all()
