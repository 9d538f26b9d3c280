from functools import cache
from typing import Any

import numpy as np
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import ADVICE, ALERT_KINDS, MAX_CAMPAIGNS, P, S
from envs.observation import SCHEMAS, Observation
from envs.protocol import MAX_AGGRESSION, Directive, quiet_board
from policies.policy import Flight, flight_of
from policies.registry import make_policy, make_team
from policies.scripted_orchestrator import RuleBook
from policies.team import Team


@cache
def told() -> Flight:
    return flight_of(started(tiny(), 1))  # two campaigns


def direct(rules: RuleBook, **changes: Any) -> Directive:
    """The directive for one market of two campaigns alike, but for what changes."""
    schema = SCHEMAS["orchestrator"]
    values = {field.name: np.zeros((1, *field.shape)) for field in schema.fields}
    values["campaign_mask"][:, :2] = 1.0
    for name in ("budget_usd", "budget_left_usd"):
        values[name][:] = 1000.0
    values["segment_affinity"][:] = 1.0
    for name, value in changes.items():
        values[name][0] = value
    observation: Observation = schema.pack(values, (1,))[:, None]
    return rules.act(observation)


def rules(**settings: Any) -> RuleBook:
    made = RuleBook(**settings)
    made.start(told())
    return made


def by_campaign(one: float, other: float) -> np.ndarray:
    return np.repeat(np.array([one, other, 9.0, 9.0]), S).reshape(MAX_CAMPAIGNS, S)


def test_video_goes_to_the_campaign_with_the_highest_affinity_that_exists() -> None:
    grant = direct(rules(), segment_affinity=by_campaign(1.0, 1.5)).premium_grant
    np.testing.assert_array_equal(grant, [[2] * S])


def test_video_goes_where_the_brief_promises_most() -> None:
    assert (direct(rules(), brief_log_video=by_campaign(0.3, -0.3)).premium_grant == 1).all()


def test_money_left_late_in_the_flight_presses_for_video() -> None:
    left = np.array([100.0, 900.0, 0.0, 0.0])
    assert (direct(rules(), budget_left_usd=left, elapsed_fraction=0.5).premium_grant == 2).all()


def test_video_goes_to_the_highest_claim_whatever_the_brief_promises() -> None:
    claims = np.zeros((MAX_CAMPAIGNS, S))
    claims[:2] = [[3.0, 0.2, 0.0, 0.0], [2.0, 0.3, 0.1, 0.0]]
    told = {"premium_value_usd": claims, "brief_log_video": by_campaign(0.3, -0.3)}
    grant = direct(rules(), **told).premium_grant
    np.testing.assert_array_equal(grant, [[1, 2, 2, 1]])  # nobody claims the last segment


def test_turns_are_deaf_to_claims() -> None:
    claims = np.zeros((MAX_CAMPAIGNS, S))
    claims[1] = 5.0
    made, deaf = rules(rotate=True), rules(rotate=True)
    np.testing.assert_array_equal(
        direct(made).premium_grant, direct(deaf, premium_value_usd=claims).premium_grant
    )


def test_a_team_whose_creative_is_silent_is_granted_video_by_promise() -> None:
    """Model-free creatives claim nothing: the rule book then goes by affinity, brief and money left."""
    policies = {**make_team("greedy").policies}
    for moment in flight(Team("silent", policies), tiny(), 3):
        assert moment.actions.premium_value_usd is None
        assert (moment.market.board.creative_plan.premium_value_usd == 0.0).all()
        assert (moment.actions.orchestrator.premium_grant > 0).all()


def test_rotation_deals_grants_out_by_turns() -> None:
    made = rules(rotate=True)
    grants = np.stack([direct(made).premium_grant[0] for _ in range(16)])
    assert set(np.unique(grants)) == {1, 2}
    assert (grants[:4] == grants[0]).all()
    assert (grants[4] != grants[0]).all()
    np.testing.assert_array_equal((grants == 1).mean(0), 0.5)


def test_advice_becomes_a_directive() -> None:
    advice = np.zeros((MAX_CAMPAIGNS, P))
    advice[0] = [ADVICE.index("none"), ADVICE.index("throttle"), ADVICE.index("pause")]
    advice[1] = ADVICE.index("resume")
    directive = direct(rules(throttle=0.4), alert_advice=advice)
    np.testing.assert_array_equal(directive.throttle[0, :2], [[1.0, 0.4, 0.0], [1.0, 1.0, 1.0]])
    assert (directive.aggression_cap == MAX_AGGRESSION).all()
    assert not directive.pause.any()
    assert (directive.budget_share == 1.0).all()


def test_what_the_monitor_wants_paused_spends_nothing_two_intervals_later() -> None:
    """Alert posted in t, read and directed in t + 1, enforced in t + 2."""

    class PausesScreens:
        name, privileged = "pauses", False

        def start(self, told: Any) -> None:
            self.shape = (told.num_markets, MAX_CAMPAIGNS, P)

        def act(self, observation: Observation) -> Any:
            from envs.protocol import Alert

            advice = np.zeros(self.shape, np.int64)
            advice[..., 0] = ADVICE.index("pause")
            return Alert(advice, np.zeros_like(advice), np.zeros_like(advice))

    policies = {**make_team("pid").policies, "monitor": PausesScreens()}
    spent = [
        moment.step.outcome.spend_usd[..., 0].sum()
        for moment in flight(Team("paused", policies), tiny(opportunities_per_interval=96), 6)
    ]
    assert min(spent[:2]) > 0.0
    assert max(spent[2:]) == 0.0


def test_every_decision_carries_its_reason() -> None:
    advice, kind = np.zeros((MAX_CAMPAIGNS, P)), np.zeros((MAX_CAMPAIGNS, P))
    advice[1, 0], kind[1, 0] = ADVICE.index("pause"), ALERT_KINDS.index("invalid_traffic")
    claims = np.zeros((MAX_CAMPAIGNS, S))
    claims[:2, 0] = [3.0, 2.0]
    made = rules()
    direct(made, alert_advice=advice, alert_kind=kind, premium_value_usd=claims)
    throttled, *granted = made.reasons()
    assert "campaign 1 on music_break x 0.00" in throttled
    assert "advises to pause for invalid_traffic" in throttled
    assert len(granted) == S
    assert "to campaign 0: it claims 3.00 USD an interval, the next 2.00" in granted[0]
    assert all("nobody claims it" in line for line in granted[1:])
    turns = rules(rotate=True)
    direct(turns)
    assert all("its turn" in line for line in turns.reasons())


def test_without_an_orchestrator_video_goes_by_turns_and_advice_is_not_followed() -> None:
    nobody, turns = make_policy("orchestrator", "none"), rules(rotate=True)
    nobody.start(told())
    advice = np.full((MAX_CAMPAIGNS, P), ADVICE.index("pause"))
    directive = direct(nobody, alert_advice=advice)  # type: ignore[arg-type]
    assert (directive.throttle == 1.0).all()
    np.testing.assert_array_equal(directive.premium_grant, direct(turns).premium_grant)


def test_creatives_are_taken_off_air_as_advised_but_never_all_of_a_campaigns() -> None:
    market, orders = started(tiny()), rules()
    board, pause = quiet_board(1, 2), ADVICE.index("pause")
    board.creative_alert.advice[0, 0] = (0, pause, ADVICE.index("resume"))
    board.creative_alert.kind[0, 0, 1], board.creative_alert.severity[0, 0, 1] = 9, 2
    board.creative_alert.advice[0, 1] = pause
    direct(orders)
    assert orders.creative_pause is None, "who was told nothing says nothing"
    orders.read_observations(market._observations()._replace(board=board))
    direct(orders)
    assert orders.creative_pause is not None
    np.testing.assert_array_equal(orders.creative_pause.script[0, :2], [[0, 1, 0], [0, 0, 0]])
    assert (
        "the storytelling creative of campaign 0 is taken off air: the monitor advises to pause it for "
        "ctr_drop (warning)"
    ) in orders.reasons()
    orders.read_observations(market._observations()._replace(board=None))
    direct(orders)
    assert orders.creative_pause is None
