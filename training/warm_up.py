"""One flight before training, from which observations and returns get their scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.seeds import market_seeds
from policies.arm_prior import ArmPrior
from policies.critic import HEADS, ObservableCritic
from policies.desk import CampaignDesk
from policies.encoder import campaign_encoder
from policies.networks import BiddingActor, CreativeActor
from policies.orchestrator_actor import OrchestratorActor
from policies.registry import learning_desk, make_team
from policies.tally import Tally
from training.arm_prior import learn_arm_prior
from training.configuration import TrainingConfiguration
from training.losses import returns_to_go
from training.reserved_markets import FIRST_WARM_UP, WARM_UP_MARKETS
from training.reward import asks_what_if, flight_rewards
from training.rollout import Actors, learned_desk, learning_team, moments, training_market

Statistics = dict[str, list[float]]
"""Buffers by name: of the encoders, and the scale of returns."""
CAMPAIGN, MARKET, RETURN_SCALE = "campaign_encoder", "market_encoder", "return_scale"


@dataclass(frozen=True)
class WarmUp:
    """What the networks need to know before they are built."""

    statistics: Statistics
    truth_sizes: tuple[int, int]
    """Of the hidden truth's market and campaign blocks."""
    arm_prior: dict[str, Any] | None = None
    """What past campaigns taught (`ArmPrior.to_json`), where the desk may know it."""

    def desk(self, configuration: TrainingConfiguration) -> CampaignDesk:
        """The desk that a run's learned policies stand on."""
        return _desk(configuration, None if self.arm_prior is None else ArmPrior.from_json(self.arm_prior))


def _desk(configuration: TrainingConfiguration, prior: ArmPrior | None) -> CampaignDesk:
    reads = make_team(configuration.base_team).reads_listeners
    tells = configuration.networks.credit
    return learning_desk(arm_prior=prior, reads_listeners=reads, tells_credit=tells)


def warm_up(configuration: TrainingConfiguration, taste_pool: NDArray[Any] | None = None) -> WarmUp:
    """Plays one flight with untrained, exploring actors and measures what the networks will see.

    With residual actors that is the desk's own play with some noise; without, random play.
    """
    torch.manual_seed(configuration.seed)
    critic = ObservableCritic(configuration.networks)
    actors: Actors = {
        "creative": CreativeActor(configuration.networks),
        "bidding": BiddingActor(configuration.networks),
    }
    market = training_market(configuration, WARM_UP_MARKETS, taste_pool)
    prior = None
    if configuration.prior_markets:
        scenario, seed = configuration.load_scenario(), configuration.seed
        prior = learn_arm_prior(scenario, seed, configuration.prior_markets, taste_pool)
    team = learning_team(configuration, actors, sample=True, desk=_desk(configuration, prior))
    rows: list[tuple[Tensor, ...]] = []
    desk = learned_desk(team)
    seeds = market_seeds("train", configuration.seed, FIRST_WARM_UP, WARM_UP_MARKETS)
    rewards, recordings = [], []
    tally = Tally()
    tally.start()
    for moment in moments(market, team, seeds, record=asks_what_if(configuration.ppo)):
        if configuration.networks.tally:
            campaign, segment = tally.advance(moment.observations.bidding)
        else:
            desk.advance(moment.observations.bidding)
            segment, campaign = desk.belief_features()
        rewards.append(moment.step.rewards)
        if moment.recording is not None:
            recordings.append(moment.recording)
        seen = (moment.observations.bidding, campaign, segment, moment.observations.orchestrator[:, 0])
        rows.append(tuple(torch.from_numpy(array) for array in seen))
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    seen_by = configuration.networks
    encoder = campaign_encoder(belief=seen_by.belief, credit=seen_by.credit, tally=seen_by.tally)
    encoder.fit(columns[0], (columns[1], columns[2]))
    critic.market_encoder.fit(columns[3])
    reward = torch.from_numpy(flight_rewards(market, rewards, recordings, configuration.ppo))
    returns = returns_to_go(reward, configuration.ppo.gamma)
    critic.return_scale.copy_(returns.reshape(-1, HEADS).std(0).clamp(min=1e-6))
    measured = critic.state_dict() | {f"{CAMPAIGN}.{n}": tensor for n, tensor in encoder.state_dict().items()}
    names = (CAMPAIGN, MARKET, RETURN_SCALE)
    state = {n: tensor.tolist() for n, tensor in measured.items() if n.startswith(names)}
    sizes = (moment.market_truth.shape[-1], moment.campaign_truth.shape[-1])
    return WarmUp(state, sizes, None if prior is None else prior.to_json())


def apply_statistics(
    network: CreativeActor | BiddingActor | OrchestratorActor | ObservableCritic, statistics: Statistics
) -> None:
    """Sets a network's encoders (and a critic's return scale) to what the warm-up measured.

    A tally stands behind all that is seen without it: networks that read none take what stands before.
    """
    state = {name: torch.tensor(values) for name, values in statistics.items()}
    if isinstance(network, OrchestratorActor):
        del state[RETURN_SCALE]
    elif not isinstance(network, ObservableCritic):
        start = f"{CAMPAIGN}."
        state = {
            "encoder." + n.removeprefix(start): value for n, value in state.items() if n.startswith(start)
        }
    known = network.state_dict()
    state = {n: values[: len(known[n])] if n in known else values for n, values in state.items()}
    unknown = network.load_state_dict(state, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"statistics of another network: {unknown}")
