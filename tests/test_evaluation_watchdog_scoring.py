import numpy as np
import pytest

from envs.catalogue import ADVICE, ALERT_KINDS, INCIDENT_KINDS, P, V
from envs.market import VectorMarket
from envs.protocol import Alert, CreativeAlert
from envs.scenario import Incidents, load_scenario
from envs.seeds import market_seeds
from envs.state import Int
from envs.truth import incident_labels
from evaluation.metrics import mean_over_markets
from evaluation.rollout import Course, play
from evaluation.watchdog.scoring import Watch, Watchdog
from policies.registry import make_team

INTERVALS, C = 12, 3
DISLIKES = ALERT_KINDS.index("dislike_surge")


def markets(kinds: tuple[str, str], starts: tuple[int, int], lengths: tuple[int, int]) -> VectorMarket:
    """One market with two incidents on placement 1 and campaign 2, of which creative 1 is struck."""
    scenario = load_scenario("default").model_copy(update={"intervals": INTERVALS})
    market = VectorMarket(scenario, 1)
    market.reset(market_seeds("train", 0, 0, 1))
    m = market.parameters
    m.incident_kind[0] = [INCIDENT_KINDS.index(kind) for kind in kinds]
    m.incident_start[0], m.incident_length[0] = starts, lengths
    m.incident_placement[:], m.incident_campaign[:] = 1, 2
    market.market_state.struck_script[:] = 1
    market.interval = INTERVALS  # as if it had been played
    return market


NO_CREATIVES = CreativeAlert(*(np.zeros((1, C, V), np.int64) for _ in range(3)))


def watched(
    market: VectorMarket, alerts: Int, advice: Int | None = None, creatives: Int | None = None
) -> Watch:
    """All of a flight's alerts [T, C, P], added up by kind: [kinds] each."""
    dog = Watchdog(market)
    said = np.zeros_like(alerts) if advice is None else advice
    named = np.zeros((INTERVALS, C, V), np.int64) if creatives is None else creatives
    told = [
        dog.add(
            Alert(said[t][None], alerts[t][None], said[t][None]),
            NO_CREATIVES._replace(kind=named[t][None]),
            t,
        )
        for t in range(INTERVALS)
    ]
    return Watch(*(np.sum(counts, (0, 1)) for counts in zip(*told, strict=True)))


def all_kinds(watch: Watch) -> Watch:
    return Watch(*(counts.sum() for counts in watch))


def test_incidents_and_alerts_share_their_numbers() -> None:
    shared = [kind.removesuffix("_fault") for kind in INCIDENT_KINDS]
    assert list(ALERT_KINDS) == shared


def test_alerts_that_repeat_the_labels_an_interval_late_are_perfect() -> None:
    m = markets(("invalid_traffic", "overspend_fault"), (2, 7), (3, 2))
    labels = incident_labels(m.parameters, INTERVALS)[0]
    late = np.concatenate([np.zeros_like(labels[:1]), labels[:-1]])
    watch = watched(m, late)
    for kind, campaigns in (("invalid_traffic", C), ("overspend_fault", 1)):
        k = INCIDENT_KINDS.index(kind)
        assert (watch.incidents[k], watch.found[k], watch.delay[k]) == (1, 1, 1)
        assert watch.alerts[k] == watch.right[k] == campaigns
    assert all_kinds(watch).alerts == C + 1


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
        watch = all_kinds(watched(m, alerts))
        assert (watch.alerts, watch.right, watch.found) == (1, right, right), (alert, t, p)
        assert watch.delay == (t - 2) * right


def test_an_alert_counts_once_a_campaign_and_episode() -> None:
    m = markets(("rival_surge", "none"), (2, 7), (4, 2))
    alerts = np.zeros((INTERVALS, C, P), np.int64)
    surge = INCIDENT_KINDS.index("rival_surge")
    alerts[3:6, 0] = surge
    alerts[4:6, 1, 0] = surge
    alerts[5:9, 1, 1] = surge  # on one placement more: no news
    alerts[6:8, 0, 0] = DISLIKES
    watch = watched(m, alerts)
    assert (watch.alerts[surge], watch.right[surge], watch.found[surge]) == (2, 2, 1)
    assert (watch.alerts[DISLIKES], watch.right[DISLIKES]) == (1, 0)


def test_pauses_are_right_where_the_incident_strikes() -> None:
    m = markets(("invalid_traffic", "none"), (2, 7), (3, 2))
    fraud = INCIDENT_KINDS.index("invalid_traffic")
    alerts, advice = np.zeros((INTERVALS, C, P), np.int64), np.zeros((INTERVALS, C, P), np.int64)
    alerts[3:6, :2, 1] = fraud
    advice[3:6, :2, 1] = ADVICE.index("pause")
    alerts[9, 2, 0], advice[9, 2, 0] = fraud, ADVICE.index("pause")
    alerts[9, 1, 0], advice[9, 1, 0] = fraud, ADVICE.index("throttle")
    watch = watched(m, alerts, advice)
    assert (watch.pauses[fraud], watch.right_pauses[fraud]) == (3, 2)
    assert (watch.alerts[fraud], watch.right[fraud]) == (4, 2)


def test_an_incident_on_a_creative_is_found_where_that_creative_is_named() -> None:
    m, kind = markets(("dislike_surge", "none"), (2, 9), (4, 1)), DISLIKES
    for campaign, script, t, right in ((2, 1, 3, 1), (2, 0, 3, 0), (1, 1, 3, 0), (2, 1, 6, 1), (2, 1, 7, 0)):
        alerts, named = np.zeros((INTERVALS, C, P), np.int64), np.zeros((INTERVALS, C, V), np.int64)
        alerts[t, campaign], named[t, campaign, script] = kind, kind
        watch = watched(m, alerts, creatives=named)
        found = watch.incidents[kind], watch.alerts[kind], watch.right[kind], watch.found[kind]
        assert found == (1, 1, right, right), (campaign, script, t)


def test_delays_are_kept_incident_by_incident() -> None:
    m = markets(("invalid_traffic", "rival_surge"), (2, 7), (3, 3))
    alerts = np.zeros((INTERVALS, C, P), np.int64)
    alerts[4, 0, 1] = INCIDENT_KINDS.index("invalid_traffic")
    dog = Watchdog(m)
    for t in range(INTERVALS):
        dog.add(Alert(alerts[t][None], alerts[t][None], alerts[t][None]), NO_CREATIVES, t)
    np.testing.assert_array_equal(dog.delays, [[2, -1]])


def test_the_scripted_watchdog_is_judged_and_a_quiet_one_finds_nothing() -> None:
    scenario = load_scenario("quick").model_copy(update={"incidents": Incidents(incident_probability=1.0)})
    found = {}
    for monitor in ("watchdog", "quiet"):
        team = make_team("shadow-price")
        if monitor == "quiet":
            from policies.scripted_monitor import QuietMonitor

            team.policies = {**team.policies, "monitor": QuietMonitor()}
        metrics = play(team, Course(scenario, "train", num_markets=16)).metrics
        found[monitor] = {
            name: mean_over_markets(metrics[f"monitor/{name}"]) for name in ("recall", "precision")
        }
        assert (metrics["monitor/incidents"] == 2).all()
    assert found["watchdog"]["recall"] > 0.6 and found["watchdog"]["precision"] > 0.6
    assert found["quiet"]["recall"] == 0.0 and np.isnan(found["quiet"]["precision"])


@pytest.mark.parametrize("slot", [0, 1])
def test_each_incident_counts_once(slot: int) -> None:
    m = markets(("rival_surge", "rival_surge"), (1, 6), (3, 3))
    alerts = np.zeros((INTERVALS, C, P), np.int64)
    alerts[(2, 7)[slot]] = INCIDENT_KINDS.index("rival_surge")
    watch = all_kinds(watched(m, alerts))
    assert (watch.incidents, watch.found, watch.right, watch.alerts) == (2, 1, C, C)
