import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from policies.shading import best_bids, shaded

BIDS = np.linspace(1e-4, 1.0, 2001)


def test_one_of_three_uniform_bidders_bids_two_thirds_of_its_value() -> None:
    """The equilibrium of n = 3: (n − 1) / n of the value; .6 at .9."""
    assert best_bids(np.array(0.9), BIDS, BIDS**2) == pytest.approx(0.6, abs=1e-3)
    value = np.linspace(0.1, 1.0, 10)
    np.testing.assert_allclose(best_bids(value, BIDS, BIDS**2), 2.0 / 3.0 * value, atol=2e-3)


def test_the_price_of_budget_divides_the_value() -> None:
    """argmax (v − λ b) G(b), by brute force."""
    for dual in (1.0, 1.6, 3.0):
        brute = BIDS[np.argmax((0.9 - dual * BIDS) * BIDS**2)]
        assert best_bids(np.array(0.9 / dual), BIDS, BIDS**2) == pytest.approx(brute, abs=2e-3)


@settings(deadline=None)
@given(st.floats(0.3, 1.2), st.floats(0.2, 20.0), st.floats(0.5, 10.0))
def test_log_normal_prices_are_met_by_the_best_of_all_bids(sd: float, value: float, price: float) -> None:
    bids = np.geomspace(1e-3 * price, 1e2 * price, 20001)
    chance = norm.cdf((np.log(bids / price) + 0.5 * sd**2) / sd)
    surplus = (value - bids) * chance
    bid = shaded(np.array(value), np.array(price), sd)
    mine = (value - bid) * norm.cdf((np.log(bid / price) + 0.5 * sd**2) / sd)
    assert 0.0 < bid <= value
    assert mine >= surplus.max() * 0.995 - 1e-6


def test_bids_rise_with_value_and_with_prices() -> None:
    value = np.geomspace(0.1, 50.0, 60)
    assert (np.diff(shaded(value, np.array(2.0), 0.7)) >= 0.0).all()
    assert shaded(np.array(9.0), np.array(4.0), 0.7) > shaded(np.array(9.0), np.array(1.0), 0.7)
