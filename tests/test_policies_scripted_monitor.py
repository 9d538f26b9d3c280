from typing import Any

import numpy as np
import pytest
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import ADVICE, ALERT_KINDS, INCIDENT_KINDS, MAX_CAMPAIGNS, P
from envs.observation import SCHEMAS, Observation
from envs.protocol import Alert
from envs.scenario import load_scenario
from policies.policy import flight_of
from policies.registry import make_team
from policies.scripted_monitor import QuietMonitor, RatioMonitor

USUAL: dict[str, Any] = {
    "wins": 20.0,
    "completions": 1500.0,
    "expected_completions": 1500.0,
    "clicks": 9.0,
    "expected_clicks": 9.0,
    "dislikes": 4.0,
    "price_usd": 1.5,
}


def monitor() -> RatioMonitor:
    made = RatioMonitor()
    made.start(flight_of(started(tiny(), 1)))
    return made


def hear(made: RatioMonitor, times: int = 1, **changes: float) -> tuple[str, str, int]:
    """Kind, advice and severity for campaign 0, placement 0 after some intervals of one kind."""
    schema = SCHEMAS["monitor"]
    values = {f.name: np.full((1, *f.shape), (USUAL | changes).get(f.name, 0.0)) for f in schema.fields}
    observation: Observation = schema.pack(values, (1,))[:, None]
    for _ in range(times):
        alert = made.act(observation)
    return ALERT_KINDS[alert.kind[0, 0, 0]], ADVICE[alert.advice[0, 0, 0]], int(alert.severity[0, 0, 0])


def test_all_is_well() -> None:
    assert hear(monitor(), 12) == ("none", "none", 0)


@pytest.mark.parametrize(
    ("changes", "kind", "advice", "severity"),
    [
        ({"completions": 300.0, "clicks": 200.0}, "invalid_traffic", "pause", 3),
        ({"completions": 0.0, "clicks": 0.0, "expected_clicks": 40.0}, "tracking_outage", "none", 1),
        ({"pacing_error": 0.4}, "overspend", "throttle", 2),
        ({"price_usd": 3.0}, "rival_surge", "none", 1),
        ({"dislikes": 200.0}, "dislike_surge", "none", 1),
    ],
)
def test_each_fault_has_its_alert(changes: dict[str, float], kind: str, advice: str, severity: int) -> None:
    """Within three intervals of its start (surges show at once, and are over when they are usual)."""
    made = monitor()
    hear(made, 5)
    heard = [hear(made, **changes) for _ in range(3)]
    assert (kind, advice, severity) in heard
    assert {found[0] for found in heard} <= {kind, "none"}


def test_what_was_paused_is_probed_again() -> None:
    made = monitor()
    hear(made, 5)
    advice = [hear(made, completions=300.0, clicks=200.0)[1] for _ in range(3)]
    advice += [hear(made, wins=0.0, completions=0.0, clicks=0.0)[1] for _ in range(6)]
    assert "pause" in advice
    assert advice[advice.index("pause") :][:4] == ["pause"] * 4
    assert "resume" in advice
    assert hear(made, 6) == ("none", "none", 0)


def test_a_few_impressions_raise_no_alarm() -> None:
    assert hear(monitor(), 10, wins=1.0, completions=0.0, clicks=50.0) == ("none", "none", 0)


def test_invalid_traffic_in_real_flights_is_found_and_the_rest_left_alone() -> None:
    """An alarm counts as true from the interval after an incident's start to four after its end."""
    found = missed = false = 0
    for moment in flight(make_team("siloed"), load_scenario("quick"), 48):
        m, t = moment.market.parameters, moment.market.interval - 1
        placement = m.incident_placement[..., None] == np.arange(P)
        since = t - m.incident_start
        fraud = (m.incident_kind == INCIDENT_KINDS.index("invalid_traffic")) & (since >= 1)
        now, lately = (
            ((fraud & (since < m.incident_length + after))[..., None] & placement).any(1) for after in (1, 5)
        )
        alarm = (moment.actions.monitor.kind == ALERT_KINDS.index("invalid_traffic")).any(1)
        found += int((alarm & now).sum())
        missed += int((~alarm & now).sum())
        false += int((alarm & ~lately).sum())
    assert found > 0.4 * (found + missed)
    assert false <= 0.1 * found


def test_the_quiet_monitor_never_alerts() -> None:
    quiet = QuietMonitor()
    quiet.start(flight_of(started(tiny(), 2)))
    alert = quiet.act(np.zeros((2, 1, SCHEMAS["monitor"].size), np.float32))
    assert isinstance(alert, Alert)
    for field in alert:
        assert field.shape == (2, MAX_CAMPAIGNS, P)
        assert (field == 0).all()
