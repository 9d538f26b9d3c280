import numpy as np
import pytest

from envs.catalogue import MAX_CAMPAIGNS, F, P, S, V
from envs.observation import SCHEMAS, Observation
from policies.tally import (
    ASSET_TALLY,
    ASSETS,
    CAMPAIGN_TALLY,
    HALF_WEIGHT_WINS,
    ON_AIR_TALLY,
    SEGMENT_TALLY,
    Tally,
    asset_tally,
)

B, C = 2, MAX_CAMPAIGNS - 1
SCHEMA = SCHEMAS["bidding"]


def seen(*, asset: int = 0, early: float = 0.0, wins: float = 0.0, skips: float = 0.0) -> Observation:
    """What all campaigns see: the asset that airs now, and on every placement what the last one brought."""
    observation = np.zeros((B, C, SCHEMA.size), np.float32)
    observation[..., SCHEMA.slices["on_air_format"]] = np.tile(np.eye(F)[asset // V], S)
    observation[..., SCHEMA.slices["on_air_script"]] = np.tile(np.eye(V)[asset % V], S)
    observation[..., SCHEMA.slices["on_air_early"]] = early
    observation[..., SCHEMA.slices["wins"]] = wins
    observation[..., SCHEMA.slices["skips"]] = skips
    return observation


def started() -> Tally:
    tally = Tally()
    tally.start()
    return tally


def told(segment: Observation, what: str, asset: int) -> Observation:
    return segment[..., asset_tally(what, asset)]


def test_an_interval_counts_for_the_asset_that_aired_in_it() -> None:
    tally = started()
    campaign, segment = tally.advance(seen(asset=4, early=1.0))
    assert campaign.shape == (B, C, CAMPAIGN_TALLY)
    assert segment.shape == (B, C, S, SEGMENT_TALLY)
    assert (told(segment, "on_air", 4) == 1.0).all()
    assert (segment[..., : ASSETS * 4] == 0.0).all()  # nothing has been bought yet
    _, segment = tally.advance(seen(asset=7, wins=2.0, skips=30.0))
    np.testing.assert_allclose(told(segment, "wins", 4), np.log1p(2.0 * P), rtol=1e-6)
    assert (told(segment, "early", 4) == 1.0).all()
    assert (told(segment, "wins", 7) == 0.0).all()
    assert (told(segment, "on_air", 7) == 1.0).all()
    assert (told(segment, "on_air", 4) == 0.0).all()


def test_sums_go_on_over_the_flight_and_weigh_more_the_more_they_rest_on() -> None:
    tally = started()
    tally.advance(seen(asset=1))
    _, few = tally.advance(seen(asset=1, wins=1.0, skips=9.0))
    _, many = tally.advance(seen(asset=1, wins=3.0, skips=27.0))
    np.testing.assert_allclose(told(many, "wins", 1), np.log1p(4.0 * P), rtol=1e-6)
    n = 4.0 * P
    np.testing.assert_allclose(
        told(many, "skips_weighed", 1), told(many, "skips", 1) * n / (n + HALF_WEIGHT_WINS), rtol=1e-6
    )
    assert (np.abs(told(many, "skips_weighed", 1)) > np.abs(told(few, "skips_weighed", 1))).all()
    now = many[..., -len(ON_AIR_TALLY) :]
    for i, what in enumerate(ON_AIR_TALLY):
        np.testing.assert_allclose(now[..., i], told(many, what, 1))


def test_more_skips_show() -> None:
    def after(skips: float) -> Observation:
        tally = started()
        tally.advance(seen(asset=3))
        return told(tally.advance(seen(asset=3, wins=1.0, skips=skips))[1], "skips", 3)

    assert (after(20.0) > after(10.0)).all()


def test_a_flight_begins_with_nothing() -> None:
    tally = started()
    first = tally.advance(seen(asset=2))
    tally.advance(seen(asset=2, wins=5.0, skips=5.0))
    tally.start()
    for one, other in zip(first, tally.advance(seen(asset=2)), strict=True):
        assert np.array_equal(one, other)


def test_the_own_level_is_the_last_intervals_mean_multiplier() -> None:
    observation = seen()
    assert (Tally().own_level(observation, 0.02) == 0.0).all()  # nothing was bid yet
    observation[..., SCHEMA.slices["marginal_price_usd"]] = 0.02 * np.exp(-1.5)
    level = Tally().own_level(observation, 0.02)
    np.testing.assert_allclose(level[..., 0], -1.5, rtol=1e-5)
    assert (level[..., 1:] == 0.0).all()


@pytest.mark.parametrize("what", ASSET_TALLY)
def test_every_asset_has_a_column_of_its_own(what: str) -> None:
    columns = [asset_tally(what, asset) for asset in range(ASSETS)]
    assert len(set(columns)) == ASSETS
    assert max(columns) < SEGMENT_TALLY - len(ON_AIR_TALLY)
