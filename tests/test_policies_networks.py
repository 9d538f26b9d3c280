import numpy as np
import pytest
import torch
from support.seen import B, C, seen

from envs.catalogue import ARMS, VIDEO, F, K, P, S, V
from envs.observation import SCHEMAS
from envs.protocol import MAX_MULTIPLIER_LOG
from policies.critic import HEADS, ObservableCritic
from policies.networks import (
    BiddingActor,
    CreativeActor,
    NetworkSettings,
    monolith,
)

N = 1 + P + S


def scores(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Arm log scores and mask [B, C, S, K]."""
    rng = np.random.default_rng(seed)
    score = torch.from_numpy(rng.uniform(np.log(0.2), 0, (B, C, S, K)).astype(np.float32))
    return score, torch.from_numpy(np.broadcast_to(ARMS[:, 0] != VIDEO, (B, C, S, K)).copy())


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("belief", [True, False])
def test_shapes_and_masks_of_both_actors(residual: bool, belief: bool) -> None:
    settings = NetworkSettings(creative_residual=residual, bidding_residual=residual, belief=belief)
    score, mask = scores()
    logits = CreativeActor(settings)(*seen(), score, mask)
    assert logits.shape == (B, C, S, K)
    assert (logits.softmax(-1)[~mask] == 0).all()
    bids = BiddingActor(settings)(*seen(), torch.zeros(B, C, N))
    assert bids.shape == (B, C, N)


TALLYING = NetworkSettings(
    creative_residual=False, bidding_residual=False, bidding_steps=True, belief=False, tally=True
)


def features(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoded features [B, C, ·] and [B, C, S, ·] of actors with a tally."""
    torch.manual_seed(seed)
    encoder = CreativeActor(TALLYING).encoder
    return torch.randn(B, C, encoder.plain_size), torch.randn(B, C, S, encoder.grouped_size)


def test_every_asset_is_scored_from_its_own_numbers() -> None:
    scores_of = CreativeActor(TALLYING).assets
    assert scores_of is not None
    torch.nn.init.normal_(scores_of.output.weight)
    grouped = features()[1]
    context, before = torch.zeros(B, C, S, 64), scores_of(torch.zeros(B, C, S, 64), grouped)
    assert before.shape == (B, C, S, K)
    changed = grouped.clone()
    changed[..., scores_of.columns[4, -1]] += 1.0  # that only this asset has
    moved = (scores_of(context, changed) - before).abs().amax((0, 1, 2)) > 0
    assert (moved == (scores_of.asset == 4)).all()
    assert len({tuple(row) for row in scores_of.columns.tolist()}) == F * V


def test_bids_by_segment_follow_the_segments_in_any_order() -> None:
    actor = BiddingActor(TALLYING)
    assert actor.by_segment is not None
    torch.nn.init.normal_(actor.by_segment.of_segment.weight)
    plain, grouped = features()
    mean, order = actor.mean(plain, grouped), torch.tensor([2, 0, 3, 1])
    turned = actor.mean(plain, grouped[..., order, :])
    torch.testing.assert_close(turned[..., : 1 + P], mean[..., : 1 + P])
    torch.testing.assert_close(turned[..., 1 + P :], mean[..., 1 + P :][..., order])
    assert mean[..., 1 + P :].std() > 1e-3


def test_a_step_leaves_the_last_level_by_little() -> None:
    actor, level = BiddingActor(TALLYING), torch.zeros(B, C, N)
    level[..., 0] = -1.5
    bids = actor.log_multiplier(torch.full((B, C, N), 100.0), level)
    torch.testing.assert_close(bids[..., 0], torch.full((B, C), -0.25))


@pytest.mark.parametrize(
    "wrong",
    [
        {"belief": True},
        {"memory": 4},
        {"monolithic": True},
        {"bidding_residual": True},
        {"creative_residual": True},
        {"tally": False},
    ],
)
def test_what_a_tally_cannot_stand_beside_is_said(wrong: dict[str, bool | int]) -> None:
    with pytest.raises(ValueError, match=r"networks\.tally"):
        NetworkSettings(**(TALLYING.model_dump() | wrong))


def test_an_untrained_residual_actor_plays_the_desk() -> None:
    score, mask = scores()
    logits = CreativeActor(NetworkSettings(kappa=8.0))(*seen(), score, mask)
    torch.testing.assert_close(logits[mask], 8.0 * score[mask], atol=0.7, rtol=0)
    base = torch.randn(B, C, N)
    bids = BiddingActor(NetworkSettings())(*seen(), base)
    torch.testing.assert_close(bids, base, atol=0.2, rtol=0)


def test_beliefs_and_scores_matter_only_where_switched_on() -> None:
    score, mask = scores()
    other_score, _ = scores(1)
    observation, *beliefs = seen()
    _, *other_beliefs = seen(1)
    plain = CreativeActor(NetworkSettings(creative_residual=False, belief=False))
    alike = plain(observation, *beliefs, score, mask)
    torch.testing.assert_close(alike, plain(observation, *other_beliefs, other_score, mask))
    full = CreativeActor(NetworkSettings())
    assert not torch.allclose(
        full(observation, *beliefs, score, mask), full(observation, *other_beliefs, score, mask)
    )
    assert not plain.model_aware
    assert full.model_aware


def test_bids_stay_near_the_base_and_within_the_protocol() -> None:
    actor = BiddingActor(NetworkSettings())
    wild = torch.full((B, C, N), 100.0)
    residual = actor.log_multiplier(wild, torch.zeros(B, C, N))
    assert residual[..., 0].max() == 1.25
    assert residual[..., 1:].max() == 0.625
    assert actor.log_multiplier(wild, torch.full((B, C, N), 3.9)).max() <= MAX_MULTIPLIER_LOG
    alone = BiddingActor(NetworkSettings(bidding_residual=False))
    assert alone.log_multiplier(wild, torch.zeros(B, C, N)).max() == MAX_MULTIPLIER_LOG


def test_a_monolith_is_one_network_with_two_heads() -> None:
    settings = NetworkSettings(monolithic=True, creative_hidden=8, bidding_hidden=12)
    creative, bidding = monolith(settings)
    shared = {id(p) for p in creative.parameters()} & {id(p) for p in bidding.parameters()}
    layers = (creative.campaign, creative.segment)
    assert shared == {id(p) for layer in layers for p in layer.parameters()}
    plain, grouped = creative.encoder(seen()[0], seen()[1:])
    torch.testing.assert_close(bidding.seen(plain, grouped), creative.seen(plain, grouped).flatten(-2))
    bidding.mean(plain, grouped).sum().backward()  # type: ignore[no-untyped-call]
    assert creative.campaign.weight.grad is not None
    assert creative.campaign.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("memory", [0, 4])
def test_an_actor_of_a_monolith_stands_alone_when_it_is_stored(memory: int) -> None:
    settings = NetworkSettings(monolithic=True, creative_hidden=8, bidding_hidden=12, memory=memory)
    _, bidding = monolith(settings)
    alone = BiddingActor(settings)
    alone.load_state_dict(bidding.state_dict())
    past = (torch.rand(B, C, memory),) if memory else ()
    answers = [actor(*seen(), torch.zeros(B, C, N), *past) for actor in (bidding, alone)]
    torch.testing.assert_close(*answers)


def test_actors_that_share_nothing_are_no_monolith() -> None:
    with pytest.raises(ValueError, match="no layers in common"):
        monolith(NetworkSettings())


def test_segments_share_weights() -> None:
    actor = CreativeActor(NetworkSettings())
    plain, grouped = torch.randn(1, actor.encoder.plain_size), torch.randn(1, S, actor.encoder.grouped_size)
    score, mask = torch.zeros(1, S, K), torch.ones(1, S, K, dtype=torch.bool)
    turned = actor.logits(plain, grouped.flip(1), score, mask)
    torch.testing.assert_close(turned, actor.logits(plain, grouped, score, mask).flip(1))


def test_a_recurrent_actor_hands_its_memory_on() -> None:
    settings = NetworkSettings(memory=7)
    score, mask = scores()
    inputs = (
        (CreativeActor, (score, mask), (B, C, S, 7)),
        (BiddingActor, (torch.zeros(B, C, N),), (B, C, 7)),
    )
    for kind, desk, shape in inputs:
        torch.manual_seed(0)
        actor = kind(settings)
        torch.nn.init.normal_(actor.output.weight, std=0.05)  # small, or bids would stand at their bounds
        empty = torch.zeros(shape)
        first, memory = actor(*seen(), *desk, empty)
        assert memory.shape == shape
        again, later = actor(*seen(), *desk, memory)
        assert again.shape == first.shape
        assert not torch.allclose(again, first)
        assert not torch.allclose(later, memory)


def test_each_segment_has_a_memory_of_its_own() -> None:
    score, mask = scores()
    actor, memory = CreativeActor(NetworkSettings(memory=7)), torch.zeros(B, C, S, 7)
    torch.nn.init.normal_(actor.output.weight)
    other = memory.clone()
    other[:, :, 1] = 0.5
    (one, next_one), (two, next_two) = (actor(*seen(), score, mask, held) for held in (memory, other))
    same = [0, 2, 3]
    torch.testing.assert_close(one[:, :, same], two[:, :, same])
    torch.testing.assert_close(next_one[:, :, same], next_two[:, :, same])
    assert not torch.allclose(one[:, :, 1], two[:, :, 1])


@pytest.mark.parametrize("campaigns", [1, 2, 4])
def test_the_critic_does_not_mind_the_order_of_campaigns(campaigns: int) -> None:
    critic = ObservableCritic(NetworkSettings())
    observation, campaign, segment = seen(campaigns=campaigns)
    schema = SCHEMAS["orchestrator"]
    orchestrator = np.random.default_rng(2).uniform(0, 1, (B, schema.size)).astype(np.float32)
    values = critic(observation, campaign, segment, torch.from_numpy(orchestrator))
    assert values.shape == (B, campaigns, HEADS)
    turned = orchestrator.copy()
    for field in schema.fields:
        if field.shape[:1] == (4,) and field.name != "health":
            view = schema.view(turned, field.name)
            view[:, :campaigns] = view[:, :campaigns][:, ::-1].copy()
    other = critic(observation.flip(1), campaign.flip(1), segment.flip(1), torch.from_numpy(turned))
    torch.testing.assert_close(other.flip(1), values, atol=1e-4, rtol=1e-4)
