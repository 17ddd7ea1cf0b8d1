from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway import randomness_kernels
from gateway._numba import kernel
from gateway.randomness import Purpose, Stream, generator, name_uniforms
from tests import naive

# Compiled, as other kernels have them.
gamma = kernel(randomness_kernels.gamma)
philox = kernel(randomness_kernels.philox)
uniform = kernel(randomness_kernels.uniform)
uniform52 = kernel(randomness_kernels.uniform52)

# Known answers of the reference implementation (Random123, kat_vectors, philox4x32 10):
# counter words, key words, output words.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
WORD = st.integers(0, 2**32 - 1)


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox__gives_the_published_test_vectors(counter, key, expected):
    c, k = words(counter), words(key)
    draw = np.uint64(c[2] | c[3] << 32)
    got = philox(*(np.uint64(v) for v in (k[0], k[1], c[0], c[1])), draw)
    assert [int(word) for word in got] == words(expected)


@given(WORD, WORD, WORD, WORD, WORD)
def test_philox__equals_its_twin_for_signed_arguments_too(seed, stream, user, event, draw):
    got = philox(seed, stream, user, event, draw)
    assert [int(word) for word in got] == naive.philox(seed, stream, user, event, draw)


def test_uniform__stays_inside_the_open_interval():
    ends = np.uint64(0), np.uint64(2**32 - 1)
    got = [uniform(end) for end in ends] + [uniform52(end, end) for end in ends]
    assert min(got) > 0.0
    assert max(got) < 1.0


def test_uniform__is_flat_and_uncorrelated_over_draws():
    # 4,000 draws: the mean of a uniform has standard error 0.0046, a correlation 0.016;
    # four of those is a chance of 6e-5 each, and the seed is fixed.
    draws = np.array([[uniform(w) for w in philox(3, 1, u, 0, 0)] for u in range(1000)])
    assert abs(draws.mean() - 0.5) < 4 * 0.0046
    correlation = np.corrcoef(draws.T)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 4 / np.sqrt(1000)


@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 3.7, 400.0])
def test_gamma__equals_its_twin(shape):
    for user in range(20):
        got = gamma(11, 2, user, 5, 1 << 20, shape)
        # The same formula; the compiler may round a power or a logarithm in another way.
        assert got == pytest.approx(naive.gamma(11, 2, user, 5, 1 << 20, shape), rel=1e-12)


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 3.7])
def test_gamma__has_the_gamma_distribution(shape):
    draws = [gamma(3, 1, user, 0, 0, shape) for user in range(4000)]
    # A fixed seed: below 0.001 the law is wrong, or the seed is one of a thousand.
    assert stats.kstest(draws, stats.gamma(shape).cdf).pvalue > 0.001


def test_generator__of_one_purpose_ignores_the_others():
    first = generator(7, Purpose.GROUPS).random(3)
    generator(7, Purpose.USERS).random(1000)
    np.testing.assert_array_equal(generator(7, Purpose.GROUPS).random(3), first)
    assert not np.array_equal(generator(7, Purpose.USERS).random(3), first)


def test_streams_and_purposes__have_distinct_numbers():
    assert len({int(s) for s in Stream}) == len(Stream)
    assert len({int(p) for p in Purpose}) == len(Purpose)


def test_name_uniforms__depend_on_name_and_seed_alone():
    got = name_uniforms(["a", "b", "ü"], seed=1)
    np.testing.assert_array_equal(name_uniforms(["ü", "a"], seed=1), got[[2, 0]])
    assert not np.any(name_uniforms(["a", "b", "ü"], seed=2) == got)
