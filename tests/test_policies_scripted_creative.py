import numpy as np
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import ARMS, CREATIVE_CHOICES, VIDEO, K, S, V, arm_index
from envs.observation import SCHEMAS
from policies.policy import flight_of
from policies.registry import make_policy, make_team, policy_names
from policies.scripted_creative import BanditCreative, DeskCreative, RotatingCreative
from policies.team import Team

SCENARIO = tiny(intervals=10, campaigns=3)


def with_creative(policy: object) -> Team:
    return Team("test", {**make_team("value-aware").policies, "creative": policy})  # type: ignore[dict-item]


def test_rotation_takes_scripts_by_turns_and_keeps_the_rest() -> None:
    team = with_creative(RotatingCreative(rotation_intervals=2, long=1, early=0))
    for interval, moment in enumerate(flight(team, SCENARIO)):
        creative = moment.actions.creative
        assert creative.shape == (4, 3, S, 4)
        assert (creative[..., 1] == (interval // 2) % V).all()
        assert (creative[..., 2] == 1).all()
        assert (creative[..., 3] == 0).all()


def test_no_scripted_creative_prepares_video_without_a_grant() -> None:
    for name in policy_names("creative"):
        if name in ("random", "oracle"):
            continue
        videos = 0
        for moment in flight(with_creative(make_policy("creative", name)), SCENARIO):
            granted = SCHEMAS["creative"].view(moment.observations.creative, "premium_grant") > 0.5
            video = moment.actions.creative[..., 0] == VIDEO
            assert not (video & ~granted).any(), name
            videos += int(video.sum())
        assert videos or name in ("rotate", "greedy"), name


def test_round_robin_gives_every_arm_its_turn() -> None:
    team = with_creative(make_policy("creative", "round-robin"))
    team = Team("test", {**team.policies, "orchestrator": make_policy("orchestrator", "rotation")})
    aired = np.stack([m.actions.creative for m in flight(team, tiny(intervals=K, campaigns=1))])
    for segment in range(S):
        times = np.bincount(arm_index(aired[:, 0, 0, segment]), minlength=K)
        assert set(times) == {1}


def bandit(rule: str, exploration: float) -> BanditCreative:
    made = BanditCreative(rule, exploration, reach=0.0)  # type: ignore[arg-type]
    made.start(flight_of(started(SCENARIO, 400)))
    return made


def test_bandits_rank_arms_by_their_rule() -> None:
    rng = np.random.default_rng(0)
    mean, error = rng.uniform(0.1, 1.0, (2, S, K)), rng.uniform(0.0, 1.0, (2, S, K))
    assert (bandit("greedy", 9.0)._worth(mean, error).argmax(-1) == mean.argmax(-1)).all()
    best = (mean + 1.7 * error).argmax(-1)
    assert (bandit("linucb", 1.7)._worth(mean, error).argmax(-1) == best).all()


def test_value_weighted_rotation_draws_in_proportion_to_value() -> None:
    mean = np.ones((1200, S, K))
    mean[..., 5] = 9.0
    policy = bandit("value-weighted", 1.0)
    drawn = policy._drawn(policy._worth(mean, 0.0 * mean))
    chance = np.where(drawn == 5, 9.0, 1.0) / (9.0 + K - 1)
    assert abs((drawn == 5).mean() - 9.0 / (9.0 + K - 1)) < 0.02
    np.testing.assert_allclose(np.exp(policy.log_propensity).reshape(drawn.shape), chance)


def test_the_desk_agent_takes_the_arm_of_the_highest_score() -> None:
    policy = make_policy("creative", "certainty-equivalent")
    assert isinstance(policy, DeskCreative)
    for moment in flight(with_creative(policy), SCENARIO):
        scores = np.where(policy.desk.arm_mask, policy.desk.arm_log_score, -np.inf)
        np.testing.assert_array_equal(moment.actions.creative, ARMS[scores.argmax(-1)])


def test_random_creatives_are_spread_over_all_arms_and_change() -> None:
    seen = [
        m.actions.creative for m in flight(with_creative(make_policy("creative", "random")), SCENARIO, 24)
    ]
    drawn = np.stack(seen).reshape(-1, 4)
    for part, count in enumerate(CREATIVE_CHOICES):
        share = np.bincount(drawn[:, part], minlength=count) / len(drawn)
        assert np.abs(share - 1.0 / count).max() < 0.05
    assert (seen[0] != seen[1]).any()
