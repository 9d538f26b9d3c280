import numpy as np
import pytest

from envs.catalogue import ALERT_KINDS, INCIDENT_KINDS, P
from envs.generator import draw_markets
from envs.scenario import Incidents, load_scenario
from envs.seeds import market_seeds
from envs.state import Int, MarketParameters
from envs.truth import incident_labels
from evaluation.metrics import mean_over_markets
from evaluation.rollout import Course, play
from evaluation.watchdog.scoring import Watch, Watchdog
from policies.registry import make_team

INTERVALS, C = 12, 3
DISLIKES = ALERT_KINDS.index("dislike_surge")


def markets(kinds: tuple[str, str], starts: tuple[int, int], lengths: tuple[int, int]) -> MarketParameters:
    """One market with two incidents on placement 1 and campaign 2."""
    scenario = load_scenario("default").model_copy(update={"intervals": INTERVALS})
    m, _ = draw_markets(market_seeds("train", 0, 0, 1), scenario, "train", None)
    m.incident_kind[0] = [INCIDENT_KINDS.index(kind) for kind in kinds]
    m.incident_start[0], m.incident_length[0] = starts, lengths
    m.incident_placement[:], m.incident_campaign[:] = 1, 2
    return m


def watched(m: MarketParameters, alerts: Int) -> Watch:
    """All of a flight's alerts [T, C, P], added up."""
    dog = Watchdog(m, INTERVALS)
    told = [dog.add(alerts[t][None], t) for t in range(INTERVALS)]
    return Watch(*(np.sum(counts) for counts in zip(*told, strict=True)))


def test_incidents_and_alerts_share_their_numbers() -> None:
    shared = [kind.removesuffix("_fault") for kind in INCIDENT_KINDS]
    assert list(ALERT_KINDS) == shared


def test_alerts_that_repeat_the_labels_an_interval_late_are_perfect() -> None:
    m = markets(("invalid_traffic", "overspend_fault"), (2, 7), (3, 2))
    labels = incident_labels(m, INTERVALS)[0]
    late = np.concatenate([np.zeros_like(labels[:1]), labels[:-1]])
    watch = watched(m, late)
    assert (watch.incidents, watch.found, watch.delay) == (2, 2, 2)  # an interval each
    assert (
        watch.alerts == watch.judged == watch.right == C + P
    )  # a placement of all campaigns, then a campaign


def test_wrong_kind_wrong_place_and_too_late_are_wrong() -> None:
    m = markets(("tracking_outage", "none"), (2, 7), (3, 2))
    for alert, t, p, right in (
        ("tracking_outage", 3, 1, 1),
        ("tracking_outage", 5, 1, 1),  # news of interval 4
        ("tracking_outage", 6, 1, 0),
        ("tracking_outage", 1, 1, 0),
        ("tracking_outage", 3, 0, 0),
        ("invalid_traffic", 3, 1, 0),
    ):
        alerts = np.zeros((INTERVALS, C, P), np.int64)
        alerts[t, 0, p] = ALERT_KINDS.index(alert)
        watch = watched(m, alerts)
        assert (watch.judged, watch.right, watch.found) == (1, right, right), (alert, t, p)
        assert watch.delay == (t - 2) * right


def test_an_alert_counts_once_until_it_changes_and_some_have_no_label() -> None:
    m = markets(("rival_surge", "none"), (2, 7), (4, 2))
    alerts = np.zeros((INTERVALS, C, P), np.int64)
    alerts[3:6, 0, 0] = INCIDENT_KINDS.index("rival_surge")
    alerts[6:8, 0, 0] = DISLIKES
    watch = watched(m, alerts)
    assert (watch.alerts, watch.judged, watch.right, watch.found) == (2, 1, 1, 1)


def test_the_scripted_watchdog_is_judged_and_a_quiet_one_finds_nothing() -> None:
    scenario = load_scenario("quick").model_copy(update={"incidents": Incidents(incident_probability=1.0)})
    found = {}
    for monitor in ("ratio-detectors", "quiet"):
        team = make_team("shadow-price")
        if monitor == "quiet":
            from policies.scripted_monitor import QuietMonitor

            team.policies = {**team.policies, "monitor": QuietMonitor()}
        metrics = play(team, Course(scenario, "train", num_markets=16)).metrics
        found[monitor] = {
            name: mean_over_markets(metrics[f"monitor/{name}"]) for name in ("recall", "precision")
        }
        assert (metrics["monitor/incidents"] == 2).all()
    assert found["ratio-detectors"]["recall"] > 0.1 and found["ratio-detectors"]["precision"] > 0.1
    assert found["quiet"]["recall"] == 0.0 and np.isnan(found["quiet"]["precision"])


@pytest.mark.parametrize("slot", [0, 1])
def test_each_incident_counts_once(slot: int) -> None:
    m = markets(("rival_surge", "rival_surge"), (1, 6), (3, 3))
    alerts = np.zeros((INTERVALS, C, P), np.int64)
    alerts[(2, 7)[slot]] = INCIDENT_KINDS.index("rival_surge")
    watch = watched(m, alerts)
    assert (watch.incidents, watch.found, watch.right, watch.alerts) == (2, 1, C * P, C * P)
