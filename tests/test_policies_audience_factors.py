from __future__ import annotations

import numpy as np
import pytest

from policies.audience.factors import ListeningFactors, tastes


def correlated_factors(listeners: int = 500, dimensions: int = 5) -> ListeningFactors:
    generator = np.random.default_rng(2)
    factor = generator.normal(3.0, 1.0, (listeners, dimensions)) @ generator.normal(
        size=(dimensions, dimensions)
    )
    return ListeningFactors(factor.astype(np.float32), np.zeros((1, dimensions), np.float32))


@pytest.mark.parametrize("dimensions", [1, 3, 5])
def test_tastes_are_whitened(dimensions: int) -> None:
    taste = tastes(correlated_factors(), dimensions)
    assert taste.shape == (500, dimensions) and taste.dtype == np.float32
    np.testing.assert_allclose(taste.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.atleast_2d(np.cov(taste.T, bias=True)), np.eye(dimensions), atol=1e-4)


def test_tastes_do_not_hang_on_the_order_asked_for() -> None:
    factors = correlated_factors()
    np.testing.assert_array_equal(tastes(factors, 2), tastes(factors, 5)[:, :2])


def test_tastes_refuse_more_dimensions_than_there_are() -> None:
    factors = correlated_factors()
    for dimensions in (0, 6):
        with pytest.raises(ValueError, match=r"\[1, 5\]"):
            tastes(factors, dimensions)
    flat = factors._replace(listener_factor=factors.listener_factor[:, :1] * np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"\[1, 1\]"):
        tastes(flat, 2)
