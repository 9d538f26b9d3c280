import numpy as np
from support.flights import flight
from support.markets import tiny

from envs.catalogue import ARMS, CREATIVE_CHOICES, VIDEO, S, V
from envs.observation import SCHEMAS
from policies.registry import make_policy, make_team
from policies.scripted_creative import DeskCreative, RotatingCreative
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
    for name in ("rotate", "thompson", "shadow-price", "certainty-equivalent"):
        videos = 0
        for moment in flight(with_creative(make_policy("creative", name)), SCENARIO):
            granted = SCHEMAS["creative"].view(moment.observations.creative, "premium_grant") > 0.5
            video = moment.actions.creative[..., 0] == VIDEO
            assert not (video & ~granted).any(), name
            videos += int(video.sum())
        assert videos or name == "rotate", name


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
