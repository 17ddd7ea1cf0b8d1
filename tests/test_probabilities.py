from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from gateway._numba import kernel, set_threads, threads, write_through
from gateway.score import LogisticModel, Logits, build_prefixes
from gateway.score.logistic import fill_linear
from gateway.score.logistic_kernels import USERS
from gateway.score.prefix_loss_kernels import sigmoid
from tests import naive
from tests.worlds import first_groups, linked_log


@pytest.fixture(scope="module")
def rows():
    joins = linked_log(2, users=2 * USERS + 3)
    return build_prefixes(joins, first_groups(joins, 2))


def draw_models(rows, folds):
    rng = np.random.default_rng(3)
    fold = rng.integers(0, folds, rows.n_users).astype(np.int8)
    models = [LogisticModel(rng.normal(size=rows.n_groups), rng.normal()) for _ in range(folds)]
    return fold, (models, rng.normal(size=(folds, 2)), rng.random(folds))


def filled(rows, fold, given):
    columns = Logits(*(np.full(len(rows.group), np.nan) for _ in range(3)))
    models, lines, first = given
    fill_linear(rows, fold, models, columns, lines=lines, first=first)
    return list(columns)


@pytest.mark.parametrize("folds", [1, 3])
def test_fill_linear__equals_the_twin(rows, folds):
    fold, models = draw_models(rows, folds)
    # Blocks of one row and of several, users without a row.
    assert 0.0 < rows.starts_block.mean() < 1.0
    expected = naive.probabilities(
        rows, fold,
        [(np.append(m.weights, m.intercept), *rest) for m, *rest in zip(*models, strict=True)],
    )  # fmt: skip
    # Sums of a few dozen weights in another order, of which some nearly cancel.
    np.testing.assert_allclose(filled(rows, fold, models), expected, rtol=1e-12)


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
    fold, (models, _, _) = draw_models(rows, 3)
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
