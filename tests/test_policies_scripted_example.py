"""The project's own example, seen to happen: a discovery of the audience agent moves the whole team.

The certainty-equivalent team flies the same 32 markets twice. In the second flight the audience agent
reports from interval 12 on that the segment "focused" is worth four times the average to campaign 0.
Every agent hears it through the board only: the creative agent claims more for video there, the orchestrator
grants it more often, creatives and bids follow.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from support.flights import flight

from envs.catalogue import ARMS, PLACEMENTS, SEGMENTS, VIDEO
from envs.market import Observations
from envs.observation import Observation
from envs.protocol import SegmentValue, log_records
from envs.scenario import load_scenario
from policies.policy import Flight, Policy, StateReader
from policies.registry import make_team
from policies.team import Team

FOUND_AT, CAMPAIGN, SEGMENT = 12, 0, SEGMENTS.index("focused")
ON_SCREEN = PLACEMENTS.index("on_screen")
SCENARIO = load_scenario("quick")


class Discovery:
    """An audience agent that finds a segment of high value."""

    name, privileged = "discovery", False

    def __init__(self, inner: Policy) -> None:
        self.inner = inner

    def start(self, told: Flight) -> None:
        self.inner.start(told)
        self.interval = 0

    def read_observations(self, observations: Observations) -> None:
        if isinstance(self.inner, StateReader):
            self.inner.read_observations(observations)

    def act(self, observation: Observation) -> SegmentValue:
        value: SegmentValue = self.inner.act(observation)
        affinity, confidence = value.affinity.copy(), value.confidence.copy()
        if self.interval >= FOUND_AT:
            affinity[:, CAMPAIGN, SEGMENT], confidence[:, CAMPAIGN, SEGMENT] = 4.0, 0.9
        self.interval += 1
        return SegmentValue(affinity, confidence)


class Log(NamedTuple):
    """What the logs say of the campaign and segment, by interval, mean over markets."""

    claimed_usd: NDArray[Any]  # what the creative agent claims for video there
    granted: NDArray[Any]  # share of markets where the orchestrator grants video
    prepared: NDArray[Any]  # … where the creative agent prepares video
    aired: NDArray[Any]  # … where video airs
    bid_usd: NDArray[Any]  # mean bid on the screen placement, where video may be shown
    premium_spend_usd: NDArray[Any]
    heard: list[dict[str, Any]]  # messages on the board of the first market


def fly(*, discovery: bool) -> Log:
    policies = dict(make_team("certainty-equivalent").policies)
    if discovery:
        policies["audience"] = Discovery(policies["audience"])
    rows, heard = [], []
    for interval, (_, actions, step, market) in enumerate(flight(Team("example", policies), SCENARIO, 32)):
        here = (slice(None), CAMPAIGN, SEGMENT)
        out = step.outcome
        video = ARMS[market.aired[here]][:, 0] == VIDEO
        rows.append(
            (
                actions.premium_value_usd[here].mean(),
                (actions.orchestrator.premium_grant[:, SEGMENT] == CAMPAIGN + 1).mean(),
                (actions.creative[here][:, 0] == VIDEO).mean(),
                video.mean(),
                (out.bid_usd[here] / np.maximum(1.0, out.bids[here]))[:, ON_SCREEN].mean(),
                out.spend_usd[here][:, ON_SCREEN].mean(),
            )
        )
        heard += log_records(market.board, 0, interval + 1, SCENARIO.campaigns)
    return Log(*np.array(rows).T, heard)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def before() -> Log:
    return fly(discovery=False)


@pytest.fixture(scope="module")
def after() -> Log:
    return fly(discovery=True)


def said(log: Log, interval: int, message: str, field: str) -> Any:
    return next(
        entry["value"]
        for entry in log.heard
        if (entry["interval"], entry["message"], entry["field"]) == (interval, message, field)
    )


def test_nothing_differs_until_the_discovery_is_heard(before: Log, after: Log) -> None:
    for one, other in zip(before[:6], after[:6], strict=True):
        np.testing.assert_array_equal(one[: FOUND_AT + 1], other[: FOUND_AT + 1], strict=True)


def test_the_audience_reports_a_high_value_segment(before: Log, after: Log) -> None:
    delivered = FOUND_AT + 1
    assert said(after, delivered, "segment_value", "affinity")[CAMPAIGN][SEGMENT] == 4.0
    assert said(before, delivered, "segment_value", "affinity")[CAMPAIGN][SEGMENT] < 4.0
    assert said(after, FOUND_AT, "segment_value", "affinity")[CAMPAIGN][SEGMENT] < 4.0


def test_the_creative_agent_then_claims_more_for_video_there(before: Log, after: Log) -> None:
    np.testing.assert_array_equal(before.claimed_usd[: FOUND_AT + 1], after.claimed_usd[: FOUND_AT + 1])
    assert after.claimed_usd[FOUND_AT + 1] > 1.5 * before.claimed_usd[FOUND_AT + 1]
    assert after.claimed_usd[FOUND_AT + 1 :].mean() > 1.2 * before.claimed_usd[FOUND_AT + 1 :].mean()


def test_the_orchestrator_grants_video_there_in_the_interval_after(before: Log, after: Log) -> None:
    """More often, not always: where the campaign has a creative that beats video it claims nothing."""
    assert after.granted[FOUND_AT + 2 :].mean() > 1.15 * before.granted[FOUND_AT + 2 :].mean()
    assert (
        after.granted[FOUND_AT + 2 : FOUND_AT + 8].mean() > before.granted[FOUND_AT + 2 : FOUND_AT + 8].mean()
    )


def test_the_creative_agent_then_prepares_video_there(before: Log, after: Log) -> None:
    np.testing.assert_array_equal(before.prepared[: FOUND_AT + 2], after.prepared[: FOUND_AT + 2])
    assert after.prepared[FOUND_AT + 3 :].mean() > 1.1 * before.prepared[FOUND_AT + 3 :].mean()
    assert after.aired[FOUND_AT + 4 :].mean() > 1.1 * before.aired[FOUND_AT + 4 :].mean()


def test_bids_and_spending_on_the_premium_format_there_rise(before: Log, after: Log) -> None:
    """Spending little: nothing stands behind this report, and a campaign's budget stays what it is."""
    on_air, soon = slice(FOUND_AT + 3, None), slice(FOUND_AT + 3, FOUND_AT + 9)
    assert after.bid_usd[soon].mean() > 1.05 * before.bid_usd[soon].mean()
    assert after.bid_usd[on_air].mean() > before.bid_usd[on_air].mean()  # later the budget is what binds
    assert after.premium_spend_usd[soon].mean() > 1.02 * before.premium_spend_usd[soon].mean()
