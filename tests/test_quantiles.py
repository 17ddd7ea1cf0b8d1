from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.quantiles import quantiles

# The difference of two values must be a float, too.
FINITE = st.floats(-1e300, 1e300)


@pytest.mark.parametrize("kind", ["spread", "rounded", "heavy", "constant", "one apart", "one"])
def test_quantiles__are_numpys_bit_for_bit(kind):
    rng = np.random.default_rng(5)
    x = {
        "spread": rng.random(4_321), "rounded": np.round(rng.random(4_000), 1),
        "heavy": rng.standard_cauchy(3_000), "constant": np.full(100, 0.3),
        "one apart": np.where(np.arange(6_000) == 2_345, 0.7, 0.3), "one": np.array([0.2]),
    }[kind]  # fmt: skip
    shares = np.concatenate([np.arange(11) / 10, [0.95, 0.999]])
    np.testing.assert_array_equal(quantiles(x, shares), np.quantile(x, shares))


@given(
    x=st.lists(st.one_of(FINITE, st.sampled_from([0.0, -0.0, 1.0])), min_size=1, max_size=40),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_quantiles__of_a_few_values_are_numpys(x, shares):
    got, expected = quantiles(np.array(x), shares), np.quantile(np.array(x), shares)
    np.testing.assert_array_equal(got, expected)
