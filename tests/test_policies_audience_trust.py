import numpy as np
import pytest

from policies.audience.trust import KNOTS, NO_DOUBT, doubt_of, fit_trust


def years(rng: np.random.Generator, unit: float) -> tuple[np.ndarray, ...]:
    """Two years' estimates of tastes of variance 1, in other units, with noise that falls with plays."""
    taste = rng.normal(size=(40_000, 4))
    plays, other_plays = rng.integers(1, 2000, (2, len(taste)))
    noisy = [
        unit * (taste + rng.normal(size=taste.shape) * np.sqrt(100.0 / n)[:, None])
        for n in (plays, other_plays)
    ]
    return taste, noisy[0], plays, noisy[1], other_plays


@pytest.mark.parametrize("unit", [0.3, 2.0])
def test_what_is_trusted_is_the_expected_taste_in_units_of_taste(unit: float) -> None:
    taste, x, plays, other, other_plays = years(np.random.default_rng(0), unit)
    trust = fit_trust(x, plays, other, other_plays)
    assert trust.shape == NO_DOUBT.shape == (KNOTS, 2)
    told = np.interp(np.log2(1 + plays), range(KNOTS), trust[:, 0])[:, None] * x
    for part in (plays < 60, (plays >= 60) & (plays < 500), plays >= 500):
        slope = (told[part] * taste[part]).sum() / (told[part] ** 2).sum()
        assert slope == pytest.approx(1.0, abs=0.08)
        left = ((taste[part] - told[part]) ** 2).mean()
        assert doubt_of(trust, plays[part]).mean() == pytest.approx(left, abs=0.04)


def test_another_year_that_is_expected_taste_already_gives_the_unit() -> None:
    taste, x, plays, other, other_plays = years(np.random.default_rng(1), 0.5)
    expected = other / 0.5 / (1.0 + 100.0 / other_plays)[:, None]
    trust = fit_trust(x, plays, expected)
    told = np.interp(np.log2(1 + plays), range(KNOTS), trust[:, 0])[:, None] * x
    assert (told * taste).sum() / (told**2).sum() == pytest.approx(1.0, abs=0.05)


def test_of_who_played_nothing_everything_is_in_doubt() -> None:
    _, x, plays, other, other_plays = years(np.random.default_rng(2), 1.0)
    trust = fit_trust(x, plays, other, other_plays)
    assert doubt_of(trust, np.array([0, 10**9])).tolist() == [1.0, trust[-1, 1]]
