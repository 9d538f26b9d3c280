import numpy as np
from support.markets import quiet, tiny

from envs.ad_market_v0 import parallel_env
from envs.catalogue import P, S
from envs.market import VectorMarket
from envs.seeds import market_seeds


def flown(impressions: bool, log: bool = False, count: int = 2, threads: int = 1) -> list:
    """(impressions, outcome, bids) of every interval, all of whose placements suffer a tracking outage."""
    scenario = tiny(
        intervals=12,
        opportunities_per_interval=96,
        budget_fraction=1.0,
        incidents={"incident_probability": 1.0, "kinds": ["tracking_outage", "invalid_traffic"]},
    )
    market = VectorMarket(scenario, count, log=log, impressions=impressions, threads=threads)
    market.reset(market_seeds("train", 0, 0, count))
    assert market.impressions is None
    seen = []
    for _ in range(scenario.intervals):
        step = market.step(quiet(market))
        seen.append((market.impressions, step.outcome, market.bids))
    return seen


def test_asked_or_not_the_market_plays_the_same() -> None:
    for (log, noted, _), (none, plain, _) in zip(flown(True), flown(False), strict=True):
        assert log is not None and none is None
        for a, b in zip(noted, plain, strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_add_up_to_what_observations_tell() -> None:
    rows = 0
    for log, outcome, _ in flown(True):
        cell = (log.market, log.campaign, log.segment, log.placement)
        tracked = outcome.tracked[:, None, None, :]
        for column, total in (
            (np.ones(len(log.market)), outcome.wins),
            (log.completions, outcome.completions * tracked),
            (log.skips, outcome.skips),
            (log.dislikes, outcome.dislikes),
            (log.clicks, outcome.clicks * tracked),
        ):
            summed = np.zeros((2, 2, S, P))
            np.add.at(summed, cell, column)
            np.testing.assert_array_equal(summed, total)
        rows += len(log.market)
    assert rows > 50
    assert any((outcome.tracked == 0).any() for _, outcome, _ in flown(True))


def test_threads_batches_and_event_logs_change_no_row() -> None:
    alone = flown(True, count=1)
    for n, (log, _, _) in enumerate(flown(True, count=2, threads=2)):
        for column, threaded, with_bids in zip(alone[n][0], log, flown(True, log=True)[n][0], strict=True):
            np.testing.assert_array_equal(column, threaded[log.market == 0])
            np.testing.assert_array_equal(threaded, with_bids)


def test_the_dictionary_view_tells_audience_0_alone() -> None:
    env = parallel_env(tiny(), impressions=True)
    _, infos = env.reset(seed=0)
    assert "impressions" not in infos["audience_0"]
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    infos = env.step(actions)[-1]
    told = infos["audience_0"].pop("impressions")
    assert told.keys() >= {"listener", "skips", "quality"}
    assert not any("impressions" in info for info in infos.values())
    assert env.listening().plays.shape[:2] == (1, 32)
