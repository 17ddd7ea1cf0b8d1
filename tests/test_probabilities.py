from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from gateway._numba import kernel, set_threads, threads, write_through
from gateway.log.join_log import JoinLog
from gateway.score import LogisticModel, Logits, build_prefixes, prefix_loss_kernels
from gateway.score.logistic import fill_linear
from gateway.score.logistic_kernels import USERS
from gateway.score.prefix_loss import STEPS, Form, steps_to_bins
from gateway.targets import TargetSet
from tests import naive
from tests.worlds import first_groups, linked_log


@pytest.fixture(scope="module")
def rows():
    joins = linked_log(2, users=2 * USERS + 3)
    return build_prefixes(joins, first_groups(joins, 2))


def draw_models(rows, folds, *, plain=False):
    """Models of the plain bag of groups, or with covariates and groups that fade."""
    rng = np.random.default_rng(3)
    fold = rng.integers(0, folds, rows.n_users).astype(np.int8)
    some = rng.random(rows.n_users) < 0.5
    models = [
        LogisticModel(
            rng.normal(size=rows.n_groups), rng.normal(),
            steps_to_bins(rng.normal(size=STEPS) / 3 * (not plain)),
            Form(None, None) if plain else Form.learn(rows, some, keep=keep),
        )
        for keep in np.linspace(0.5, 1.0, folds)
    ]  # fmt: skip
    return fold, (models, rng.normal(size=(folds, 2)))


def filled(rows, fold, given):
    columns = Logits(*(np.full(len(rows.group), np.nan) for _ in range(3)))
    models, lines = given
    fill_linear(rows, fold, models, columns, lines=lines)
    return list(columns)


@pytest.mark.parametrize(("folds", "plain"), [(1, True), (1, False), (3, False)])
def test_fill_linear__equals_the_twin(rows, folds, plain):
    few = rows.of_users(np.arange(rows.n_users) % 4 == 0)
    fold, models = draw_models(few, folds, plain=plain)
    # Blocks of one row and of several, users without a row.
    assert 0.0 < few.starts_block.mean() < 1.0
    expected = naive.probabilities(few, fold, list(zip(*models, strict=True)))
    # Sums of a few dozen weights in another order, of which some nearly cancel.
    np.testing.assert_allclose(filled(few, fold, models), expected, rtol=1e-11)


def test_fill_linear__the_jump_is_the_groups_weight_over_the_spread_of_the_past():
    """u joins a at 1, b and c at 3: factors .5, 1; the root of their squares is sqrt(1.25)."""
    joins = JoinLog.from_arrays(["u", "u", "u", "v"], ["a", "b", "c", "t"], [1, 3, 3, 9])
    rows = build_prefixes(joins, TargetSet(np.array([0, 0, 0, 1], bool), "t"))
    effects = steps_to_bins(np.ones(STEPS))
    model = LogisticModel(
        np.array([0.3, -0.2, 0.7, 0.0]), -1.0, effects, Form(0.5, np.full(29, 100))
    )
    before, after, at_end = model.logits(rows, np.array([True, False]))
    root = np.sqrt(1.25)
    np.testing.assert_allclose(after - before, [0.3, -0.2 / root, 0.7 / root], rtol=1e-14)
    # One step each: to two joins; tenure 2 (two steps); gap 2 (two steps); then to three joins.
    np.testing.assert_allclose(before, [-1.0, *[-1.0 + 5.0 + 0.15 / root] * 2], rtol=1e-14)
    expected = -1.0 + 6.0 + (0.15 - 0.2 + 0.7) / np.sqrt(0.25 + 2.0)
    np.testing.assert_allclose(at_end, [-0.7, expected, expected], rtol=1e-14)


def test_fill_linear__of_a_user_do_not_depend_on_the_others(rows):
    fold, models = draw_models(rows, 3)
    expected = filled(rows, fold, models)
    chosen = np.random.default_rng(1).random(rows.n_users) < 0.3
    row = np.repeat(chosen, np.diff(rows.offsets))
    got = filled(rows.of_users(chosen), fold[chosen], models)
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, e[row])


def test_fill_linear__passes_over_users_without_rows(rows):
    fold, models = draw_models(rows, 2)
    twice = np.repeat(rows.offsets, 2)[1:-1]
    got = filled(dataclasses.replace(rows, offsets=twice), np.repeat(fold, 2)[:-1], models)
    for a, e in zip(got, filled(rows, fold, models), strict=True):
        np.testing.assert_array_equal(a, e)


def test_fill_linear__log_odds_are_those_of_every_model_and_zero_without_one(rows):
    fold, (models, _) = draw_models(rows, 3, plain=True)
    got = Logits(*(np.full(len(rows.group), np.nan) for _ in range(3)))
    fill_linear(rows, fold, models[:2], got)
    row_fold = fold[rows.user()]
    for k, model in enumerate(models[:2]):
        expected = naive.prefix_logits(rows, model.weights, model.intercept)
        for a, e in zip(got, expected, strict=True):
            # Sums of a few dozen weights in another order.
            np.testing.assert_allclose(a[row_fold == k], e[row_fold == k], atol=1e-12)
    assert not any(column[row_fold == 2].any() for column in got)


@pytest.mark.compiled
def test_fill_linear__has_the_same_bits_for_any_threads(rows):
    fold, models = draw_models(rows, 3)
    before, found = threads(), []
    for count in (1, 2):
        set_threads(count)
        found.append(filled(rows, fold, models))
    set_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_sigmoid__is_expit_to_the_last_places():
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 2_001)])
    sigmoid = kernel(prefix_loss_kernels.sigmoid)
    got = np.array([sigmoid(value) for value in x])
    # The exponential's 4e-16 and three roundings: of a sum, of a quotient, and of expit's own.
    np.testing.assert_allclose(got, expit(x), rtol=1e-15)
    assert (sigmoid(1e4), sigmoid(-1e4)) == (1.0, sigmoid(-700.0))


@kernel
def fill_by_hand(x):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        write_through(x, i, 0.5 * i)


def test_write_through__writes_what_is_told():
    x = np.full(1_001, np.nan)
    # Neither end is at a line of the cache.
    fill_by_hand(x[1:-3])
    np.testing.assert_array_equal(x[1:-3], 0.5 * np.arange(997))
    assert np.isnan(x[[0, -3, -2, -1]]).all()


def test_fill_linear__of_nobody(rows):
    nobody = rows.of_users(np.zeros(rows.n_users, bool))
    columns = filled(nobody, np.zeros(0, np.int8), draw_models(rows, 1)[1])
    assert [len(column) for column in columns] == [0, 0, 0]
