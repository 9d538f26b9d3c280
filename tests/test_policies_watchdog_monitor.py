from typing import Any

import numpy as np
import pytest
from support.markets import started, tiny

from envs.catalogue import ADVICE, ALERT_KINDS, MAX_CAMPAIGNS, P
from envs.errors import ConfigurationError
from envs.observation import SCHEMAS, Observation
from envs.protocol import Alert
from policies.policy import flight_of
from policies.scripted_monitor import QuietMonitor
from policies.watchdog.detectors import Cusum
from policies.watchdog.episodes import PATIENCE, Episodes
from policies.watchdog.monitor import DETECTORS, HELD_INTERVALS, RESPONSE, URGENCY, Advisor, SequentialMonitor
from policies.watchdog.oracle import OracleMonitor
from policies.watchdog.signals import KINDS
from policies.watchdog.thresholds import SHARE, threshold_at, thresholds

WEIGHT = tiny().impression_weight
USUAL: dict[str, Any] = {
    "campaign_mask": 1.0,
    "budget_left_fraction": 0.9,
    "opportunities": 40.0,
    "wins": 4.0,
    "spend_usd": 16.0,
    "completions": 4.0 * WEIGHT * 0.95,
    "expected_completions": 4.0 * WEIGHT * 0.95,
    "skips": 4.0 * WEIGHT * 0.05 * 0.7,
    "clicks": 4.0,
    "expected_clicks": 4.0,
    "dislikes": 3.0,
    "conversions": 0.6,
    "price_usd": 4.0,
}


OF_CAMPAIGNS = ("wins", "spend_usd", "completions", "expected_completions", "clicks", "expected_clicks")
OF_CAMPAIGNS += ("dislikes", "skips", "conversions", "price_usd")


class Market:
    """Tells a monitor of intervals that are all alike, but for what changes."""

    def __init__(self, monitor: SequentialMonitor | None = None) -> None:
        self.monitor, self.t = monitor or SequentialMonitor(), 0
        self.monitor.start(flight_of(started(tiny(campaigns=2, intervals=48), 1)))
        self.frequency = np.zeros((1, MAX_CAMPAIGNS))

    def hear(self, **changes: Any) -> Alert:
        schema = SCHEMAS["monitor"]
        values = {f.name: np.zeros((1, *f.shape)) + USUAL.get(f.name, 0.0) for f in schema.fields}
        for name, change in changes.items():
            if callable(change):
                change(values[name])
            elif name != "repeats":
                values[name][:] = change
        for name in (
            "wins",
            "spend_usd",
            "completions",
            "expected_completions",
            "clicks",
            "dislikes",
            "skips",
        ):
            values[name][:, 2:] = 0.0
        heard = values["wins"].sum(2) * changes.get("repeats", np.ones(MAX_CAMPAIGNS))
        self.frequency = self.frequency + heard / tiny().listeners.count
        values["frequency"] = self.frequency
        values["budget_left_fraction"][:] = 1.0 - 0.02 * self.t
        angle = 2.0 * np.pi * (self.t % 12) / 12
        values["hour_sine"][:], values["hour_cosine"][:] = np.sin(angle), np.cos(angle)
        values["elapsed_fraction"][:] = self.t / 48
        self.t += 1
        observation: Observation = schema.pack(values, (1,))[:, None]
        return self.monitor.act(observation)


def told(alert: Alert) -> set[tuple[str, int, int]]:
    """(kind, campaign, placement) of every alert."""
    return {(ALERT_KINDS[alert.kind[0, c, p]], int(c), int(p)) for c, p in np.argwhere(alert.kind[0] > 0)}


def only(campaign: int, factor: float) -> Any:
    def change(value: Any) -> None:
        value[:, campaign] *= factor

    return change


def at(placement: int, value: float) -> Any:
    def change(values: Any) -> None:
        values[:, :, placement] = value

    return change


EVERYWHERE = {(c, p) for c in range(2) for p in range(P)}
OF_ONE = {(1, p) for p in range(P)}
ON_ONE = {(c, 2) for c in range(2)}


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        ("invalid_traffic", {"completions": at(2, WEIGHT), "clicks": at(2, 15.0)}, ON_ONE),
        ("tracking_outage", {"completions": at(2, 0.0), "clicks": at(2, 0.0)}, ON_ONE),
        ("rival_surge", {"price_usd": 6.8}, EVERYWHERE),
        (
            "silent_agent",
            {name: only(1, 0.0) for name in OF_CAMPAIGNS if name not in ("price_usd", "conversions")},
            OF_ONE,
        ),
        ("frequency_breach", {"repeats": np.array([1.0, 4.0, 1.0, 1.0])}, OF_ONE),
    ],
)
def test_each_fault_is_one_alert_at_its_place_and_ends_with_it(
    kind: str, changes: dict[str, Any], where: set[tuple[int, int]]
) -> None:
    market = Market()
    assert all(told(market.hear()) == set() for _ in range(14))
    during = [told(market.hear(**changes)) for _ in range(6)]
    named = [(kind, c, p) in alerts for alerts in during for c, p in [next(iter(where))]]
    assert any(named) and {one for alerts in during for one in alerts} <= {(kind, *place) for place in where}
    first = named.index(True)
    assert all(alerts == {(kind, *place) for place in where} for alerts in during[first:])
    after = [told(market.hear()) for _ in range(10)]
    assert after[-1] == set()


def test_a_pause_is_probed_and_not_held_for_ever() -> None:
    market = Market()
    for _ in range(12):
        market.hear()
    fraud = {"completions": at(2, WEIGHT), "clicks": at(2, 15.0)}
    nothing = {
        name: at(2, 0.0) for name in ("wins", "spend_usd", "completions", "clicks", "dislikes", "skips")
    }
    nothing |= {"expected_completions": at(2, 0.0), "expected_clicks": at(2, 0.0)}
    advice = [market.hear(**fraud) for _ in range(2)] + [market.hear(**nothing) for _ in range(8)]
    heard = [ADVICE[alert.advice[0, 0, 2]] for alert in advice]
    begin = heard.index("pause")
    assert heard[begin : begin + HELD_INTERVALS + 2] == [*["pause"] * HELD_INTERVALS, "resume", "none"]
    assert {ADVICE[a] for alert in advice for a in alert.advice[0, :2, :2].ravel()} == {"none"}


def test_a_campaign_that_the_watchdog_paused_is_not_called_silent() -> None:
    advisor = Advisor()
    advisor.start(1)
    quiet = {kind: np.zeros((1, MAX_CAMPAIGNS, P), bool) for kind in KINDS}
    alarm = {**quiet, "invalid_traffic": np.ones((1, MAX_CAMPAIGNS, P), bool)}
    assert (advisor.advise(alarm, alarm).advice == ADVICE.index("pause")).all()
    market = Market()
    for _ in range(14):
        market.hear()
    market.monitor._let = [np.zeros((1, MAX_CAMPAIGNS, P))] * 3
    for _ in range(3):
        assert told(market.hear(wins=0.0, spend_usd=0.0, completions=0.0, expected_completions=0.0)) == set()


def test_an_episode_is_one_until_its_evidence_ends() -> None:
    episodes = Episodes(Cusum(3.0), 4.0)
    episodes.start((1,))
    counts = [2, 2, 9, 9, 9, 2, 9, 2, 2, 2, 2, 2]
    running = [bool(episodes.update(np.array([float(n)]), np.array([2.0]))[0]) for n in counts]
    assert running[:2] == [False, False] and running[2:7] == [True] * 5
    assert running[7 : 6 + PATIENCE] == [True] * (PATIENCE - 1) and not any(running[6 + PATIENCE :])
    episodes.start((1,))
    episodes.update(np.array([20.0]), np.array([2.0]))
    assert all(episodes.update(np.zeros(1), np.zeros(1))[0] for _ in range(9))  # nothing can be known


def test_every_kind_has_a_detector_a_response_an_urgency_and_a_share() -> None:
    assert {*DETECTORS} == {*RESPONSE} == {*URGENCY} == {*SHARE} == {*KINDS} == {*ALERT_KINDS[1:]}
    assert sum(SHARE.values()) == pytest.approx(1.0)


def test_the_false_alarm_rate_is_a_setting() -> None:
    strict, loose = thresholds(0.25), thresholds(1.0)
    assert all(strict[kind] >= loose[kind] for kind in KINDS) and strict != loose
    assert threshold_at("rival_surge", 0.25) == loose["rival_surge"] or SHARE["rival_surge"] != 0.25
    with pytest.raises(ConfigurationError, match=r"watchdog\.json knows rates from"):
        thresholds(1e-6)
    with pytest.raises(ConfigurationError, match="knows rates"):
        thresholds(1e6)


def test_a_market_alone_is_told_what_it_is_told_in_a_batch() -> None:
    whole, alone = SequentialMonitor(), SequentialMonitor()
    scenario = tiny(campaigns=3, intervals=12, opportunities_per_interval=96)
    market = started(scenario, 3)
    rng = np.random.default_rng(0)
    whole.start(flight_of(market))
    alone.start(flight_of(started(scenario, 1)))
    for _ in range(30):
        seen = rng.uniform(0.0, 60.0, (3, 1, SCHEMAS["monitor"].size)).astype(np.float32)
        for one, other in zip(whole.act(seen), alone.act(seen[:1]), strict=True):
            np.testing.assert_array_equal(one[:1], other)


def test_the_quiet_monitor_never_alerts() -> None:
    quiet = QuietMonitor()
    quiet.start(flight_of(started(tiny(), 2)))
    for field in quiet.act(np.zeros((2, 1, SCHEMAS["monitor"].size), np.float32)):
        assert field.shape == (2, MAX_CAMPAIGNS, P) and not field.any()


def test_the_oracle_tells_what_strikes_now() -> None:
    market = started(tiny(campaigns=2, intervals=6), 1)
    m = market.parameters
    m.incident_kind[0] = [ALERT_KINDS.index("invalid_traffic"), 0]
    m.incident_start[0], m.incident_length[0], m.incident_placement[0] = [2, 0], [2, 1], [1, 0]
    oracle = OracleMonitor()
    oracle.start(flight_of(market, privileged=True))
    alerts = [oracle.act(np.zeros((1, 1, 1), np.float32)) for _ in range(6)]
    assert [told(alert) for alert in alerts] == [
        {("invalid_traffic", c, 1) for c in range(2)} if t in (2, 3) else set() for t in range(6)
    ]
    assert ADVICE[alerts[2].advice[0, 0, 1]] == "pause"
