"""The advertising market as a PettingZoo environment: five roles share an audience and a stream of ad breaks.

Rules. A flight lasts `scenario.intervals` intervals. In each of them listeners open impression
opportunities in segments S and placements P; every campaign bids its multiplier x predicted value,
rivals bid too, the auction decides, listeners complete, skip, dislike, click, remember, convert later,
and tire. Multipliers act at once. Creatives are trafficked one interval ahead, and what audience,
monitor and orchestrator say is delivered (and a directive enforced) in the next interval. No campaign
spends more than its budget. All agents act in every interval and end together: `terminated` is True
at the horizon, `truncated` never.

Agents, in this order, c = 0 ... campaigns - 1:

| agent | observation | action | reward, USD |
|---|---|---|---|
| `audience_0` | Box [125] | Box [4, 4, 2] | team |
| `creative_<c>` | Box [289] | MultiDiscrete [16] | completions + recall - dislikes of campaign c |
| `bidding_<c>` | Box [289] | Box [8] | value delivered - waste - pacing penalty of campaign c |
| `monitor_0` | Box [136] | MultiDiscrete [36] | team |
| `orchestrator_0` | Box [177] | Dict [28] | team |

The team's reward is the objective of the interval: campaign value + listener health - wasted spend.

Observations. Float32 vectors of named fields with units and bounds; `docs/observations.md` lists all of
them, `envs.observation.SCHEMAS[role].view(observation, field)` reads one. Fields by role:

* all: elapsed_fraction, hour_sine, hour_cosine, event_countdown, event_active
* audience: campaign_mask, affinity_hint, brief_log_affinity, wins, predicted_won, completions, clicks,
  expected_clicks, health
* creative, bidding: budget_usd, budget_left_fraction, pacing_error, attention, brief_log_affinity,
  brief_log_format, brief_log_script, brief_wear_out, brief_recall_decay, brief_conversion, brief_recall,
  affinity_hint, segment_affinity, segment_confidence, aggression_cap, budget_share, pause, throttle,
  premium_grant, alert_severity, alert_kind, expected_completion, win_rate_plan, marginal_price_usd,
  on_air_format, on_air_script, on_air_long, on_air_early, wear, fatigue, frequency, recent_exposure,
  recall_survey, health, opportunities, wins, spend_usd, predicted_won, completions, skips, dislikes, clicks,
  conversions, price_usd, win_rate
* monitor: campaign_mask, budget_left_fraction, pacing_error, frequency, conversions, opportunities, wins,
  spend_usd, completions, expected_completions, clicks, expected_clicks, skips, dislikes, price_usd
* orchestrator: campaign_mask, budget_usd, budget_left_usd, segment_affinity, segment_confidence,
  brief_log_video, plan_video, expected_completion, pacing_error, win_rate, marginal_price_usd, alert_advice,
  alert_kind, alert_severity, throttle, health, premium_value_usd

Actions. `docs/protocol.md` lists fields, units and bounds; `envs.spaces` says how they are laid out.
A creative agent may also answer with a Dict of its action and of what video is worth to it, to be granted it
(`envs.spaces.claiming_creative_space`); the plain action claims nothing. So may the monitor, to alert of
single creatives (`creative_alerting_space`), and the orchestrator, to pause them (`creative_pausing_space`).
Global roles address campaigns padded to 4; entries of campaigns that do not exist are ignored.
`infos["creative_<c>"]["action_mask"]` says which choices are eligible, in the form that
`action_space.sample(mask)` takes: video without a premium grant airs as audio, and the next script in the
place of a paused one.

Arguments. `scenario`: a name in `configs/scenarios`, a file or a `Scenario`. `split`: `train`,
`development` or `held_out` markets, which never overlap. `render_mode`: None, `ansi` or `rgb_array`.
`taste_pool` [pool, >= 8]: standardised tastes of real listeners in place of synthetic ones.
`impressions`: put the last interval's impressions into `infos["audience_0"]["impressions"]`, columns by name
(`envs.impressions.ImpressionLog`); what listeners played before the flight is `listening()`.

Seeds. `reset(seed=n)` plays market 0 of the split's sequence n, every further `reset()` the next one:
the markets `envs.seeds.market_seeds(split, n, 0, count)` of `vector_env`, bit for bit. A first
`reset()` without a seed draws n from the operating system. `market_seed` names the market being played;
`infos` do not, since a market's hidden truth can be drawn from its seed.

Version history. v0: the first.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import parallel_to_aec

from envs import spaces
from envs.errors import InterludeError, UnknownNameError
from envs.histories import Listening
from envs.market import Observations, VectorMarket
from envs.observation import Observation
from envs.protocol import InvalidActionError, log_records
from envs.render import RENDER_MODES, Viewer
from envs.rewards import Rewards
from envs.scenario import Scenario, load_scenario
from envs.seeds import Split, market_seeds
from envs.state import Float

Views = dict[str, Observation]
Infos = dict[str, dict[str, Any]]


class AdMarket(ParallelEnv[str, Observation, Any]):  # type: ignore[misc]
    """One market as dictionaries keyed by agent: a view of `VectorMarket` with B = 1."""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "ad_market_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        scenario: str | Scenario = "default",
        *,
        split: Split = "train",
        render_mode: str | None = None,
        taste_pool: Float | None = None,
        impressions: bool = False,
    ) -> None:
        """See the module's docstring for the arguments."""
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise UnknownNameError("render mode", render_mode, RENDER_MODES)
        self.market = vector_env(scenario, 1, split=split, taste_pool=taste_pool, impressions=impressions)
        self.scenario, self.render_mode = self.market.scenario, render_mode
        self.possible_agents = spaces.agent_names(self.market.num_campaigns)
        self.agents: list[str] = []
        self._roles = {agent: spaces.role_of(agent) for agent in self.possible_agents}
        named = self._roles.items()
        self._observation_spaces = {agent: spaces.observation_space(role) for agent, (role, _) in named}
        self._action_spaces = {agent: spaces.action_space(role) for agent, (role, _) in named}
        self.state_space = spaces.state_space()
        self._viewer = Viewer(self.market) if render_mode else None
        self._seed: int | None = None
        self._episode = 0

    @property
    def market_seed(self) -> int:
        """The seed of the market being played, with which it can be played again.

        It is no part of `infos`: whoever knows it can draw the market's hidden truth.
        """
        self._check_reset("market_seed")
        return int(self.market.seeds[0])

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The agent's observation space, always the same object."""
        return self._observation_spaces[self._known(agent)]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The agent's action space, always the same object."""
        return self._action_spaces[self._known(agent)]

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Views, Infos]:
        """Starts a flight; `options` are ignored. See the module's docstring for what a seed means."""
        if seed is not None or self._seed is None:
            self._seed, self._episode = secrets.randbits(31) if seed is None else int(seed), 0
        else:
            self._episode += 1
        seeds = market_seeds(self.market.split, self._seed, self._episode, 1)
        observations = self.market.reset(seeds)
        self.agents = self.possible_agents[:]
        if self._viewer:
            self._viewer.reset()
        return self._views(observations), self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Views, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Plays one interval with one action of every agent.

        Raises:
            InterludeError: before reset or after the end.
            UnknownNameError: an action for an agent that does not exist.
            InvalidActionError: a missing action, or one outside its space.
        """
        self._check_running()
        if actions.keys() != self._roles.keys():
            for agent in actions:
                self._known(agent)
            missing = ", ".join(agent for agent in self.agents if agent not in actions)
            raise InvalidActionError(
                f"no action for {missing} {self._where()}: every agent acts in every interval"
            )
        step = self.market.step(spaces.decode(actions, self.market.num_campaigns, self._where()))
        if self._viewer:
            self._viewer.watch(step)
        terminated = dict.fromkeys(self.agents, step.terminated)
        truncated = dict.fromkeys(self.agents, False)
        rewards = self._rewards(step.rewards)
        views, infos = self._views(step.observations), self._infos()
        if step.terminated:
            self.agents = []
        return views, rewards, terminated, truncated, infos

    def state(self) -> Observation:
        """The observable global state, for a critic."""
        self._check_reset("state")
        state: Observation = self.market.state()[0]
        return state

    def privileged_state(self) -> Observation:
        """Hidden truth, for training and evaluation only."""
        self._check_reset("privileged_state")
        state: Observation = self.market.privileged_state()[0]
        return state

    def listening(self, *, order: bool = False) -> Listening:
        """What was known of the listeners before the flight: plays [1, L, items] and segments [1, L].

        With `order` the last plays in order, too: see `envs.recent_plays`.
        """
        self._check_reset("listening")
        return self.market.listening(order=order)

    def messages(self) -> list[dict[str, Any]]:
        """What agents read now, as flat records: interval, sender, message, field, value."""
        self._check_reset("messages")
        return log_records(self.market.board, 0, self.market.interval, self.market.num_campaigns)

    def render(self) -> str | NDArray[np.uint8] | None:
        """The market as text (`ansi`) or as a picture [H, W, 3] (`rgb_array`)."""
        if self._viewer is None:
            gymnasium.logger.warn(f"render() without a render mode; choose one of {', '.join(RENDER_MODES)}")
            return None
        self._check_reset("render")
        return self._viewer.ansi() if self.render_mode == "ansi" else self._viewer.rgb_array()

    def close(self) -> None:
        """Nothing to release."""

    def _views(self, observations: Observations) -> Views:
        return {agent: getattr(observations, role)[0, n] for agent, (role, n) in self._roles.items()}

    def _infos(self) -> Infos:
        market = self.market
        infos: Infos = {agent: {"interval": market.interval} for agent in self.possible_agents}
        off_air = market.board.creative_pause.script[0]
        for c, granted in enumerate(market.premium_granted(market.board.directive)[0]):
            infos[f"creative_{c}"]["action_mask"] = spaces.creative_mask(granted, off_air[c])
        if market.impressions is not None:
            infos["audience_0"]["impressions"] = market.impressions._asdict()
        return infos

    def _rewards(self, rewards: Rewards) -> dict[str, float]:
        team = float(rewards.team[0])
        own = {"creative": rewards.creative[0].tolist(), "bidding": rewards.bidding[0].tolist()}
        return {agent: own[role][n] if role in own else team for agent, (role, n) in self._roles.items()}

    def _known(self, agent: str) -> str:
        if agent not in self._action_spaces:
            raise UnknownNameError("agent", agent, self.possible_agents)
        return agent

    def _where(self) -> str:
        return f"in interval {self.market.interval} of market seed {self.market_seed}"

    def _check_reset(self, method: str) -> None:
        if self.market.interval < 0:
            raise InterludeError(f"{method}() before reset(): call reset() first")

    def _check_running(self) -> None:
        self._check_reset("step")
        if not self.agents:
            raise InterludeError(
                f"step() after the end: all agents finished with the flight's {self.scenario.intervals} "
                "intervals; call reset()"
            )


def parallel_env(
    scenario: str | Scenario = "default",
    *,
    split: Split = "train",
    render_mode: str | None = None,
    taste_pool: Float | None = None,
    impressions: bool = False,
) -> AdMarket:
    """The market in which all agents act at once."""
    return AdMarket(
        scenario, split=split, render_mode=render_mode, taste_pool=taste_pool, impressions=impressions
    )


def env(
    scenario: str | Scenario = "default",
    *,
    split: Split = "train",
    render_mode: str | None = None,
    taste_pool: Float | None = None,
    impressions: bool = False,
) -> AECEnv[str, Observation, Any]:
    """The same market with agents acting in turn (PettingZoo's AEC form)."""
    market = parallel_env(
        scenario, split=split, render_mode=render_mode, taste_pool=taste_pool, impressions=impressions
    )
    return parallel_to_aec(market)


def vector_env(
    scenario: str | Scenario = "default",
    num_markets: int = 1,
    *,
    split: Split = "train",
    taste_pool: Float | None = None,
    threads: int = 1,
    impressions: bool = False,
) -> VectorMarket:
    """The native environment: B markets in lockstep, which training, heuristics and evaluation step.

    Raises:
        TypeError: the scenario is neither a name nor a `Scenario`, or the number of markets is no integer.
        UnknownNameError: no such scenario.
        ValueError: fewer markets than one.
    """
    if isinstance(scenario, str):
        scenario = load_scenario(scenario)
    if not isinstance(scenario, Scenario):
        raise TypeError(
            f"scenario must be a name, the path of a YAML file as text or a Scenario, got {scenario!r}; the "
            "number of markets stands after it: vector_env('default', 3) or vector_env(num_markets=3)"
        )
    if isinstance(num_markets, bool) or not isinstance(num_markets, int | np.integer):
        raise TypeError(f"num_markets must be an integer of at least 1, got {num_markets!r}")
    num_markets = int(num_markets)
    return VectorMarket(
        scenario, num_markets, split=split, taste_pool=taste_pool, threads=threads, impressions=impressions
    )
