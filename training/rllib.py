"""RLlib's names, all in one place: they are alpha interfaces, pinned to ray 2.60, and typed as `Any`.

What of them is overridden stands in `algorithm`, `learner`, `modules` and `runner`; a contract test
fails when a new version of Ray no longer calls it.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms import ppo
from ray.rllib.algorithms.ppo.torch import ppo_torch_learner
from ray.rllib.core import ALL_MODULES, COMPONENT_LEARNER, COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE
from ray.rllib.core import columns as columns_
from ray.rllib.core.distribution.torch import torch_distribution
from ray.rllib.core.rl_module import multi_rl_module, rl_module
from ray.rllib.core.rl_module.apis import value_function_api
from ray.rllib.core.rl_module.torch import torch_rl_module
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES, env_runner, multi_agent_env
from ray.rllib.policy import sample_batch
from ray.rllib.utils import checkpoints
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
    SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
    WEIGHTS_SEQ_NO,
)

PPO: Any = ppo.PPO
PPOConfig: Any = ppo.PPOConfig
PPOTorchLearner: Any = ppo_torch_learner.PPOTorchLearner
RLModuleSpec: Any = rl_module.RLModuleSpec
MultiRLModuleSpec: Any = multi_rl_module.MultiRLModuleSpec
TorchRLModule: Any = torch_rl_module.TorchRLModule
EnvRunner: Any = env_runner.EnvRunner
Checkpointable: Any = checkpoints.Checkpointable
Columns: Any = columns_.Columns
ValueFunctionAPI: Any = value_function_api.ValueFunctionAPI
MultiAgentEnv: Any = multi_agent_env.MultiAgentEnv
TorchDiagGaussian: Any = torch_distribution.TorchDiagGaussian
TorchMultiCategorical: Any = torch_distribution.TorchMultiCategorical
SampleBatch: Any = sample_batch.SampleBatch
MultiAgentBatch: Any = sample_batch.MultiAgentBatch

__all__ = [
    "ALL_MODULES",
    "COMPONENT_LEARNER",
    "COMPONENT_OPTIMIZER",
    "COMPONENT_RL_MODULE",
    "ENV_RUNNER_RESULTS",
    "ENV_RUNNER_SAMPLING_TIMER",
    "EPISODE_LEN_MEAN",
    "EPISODE_RETURN_MEAN",
    "INPUT_ENV_SINGLE_SPACES",
    "INPUT_ENV_SPACES",
    "LEARNER_RESULTS",
    "LEARNER_UPDATE_TIMER",
    "NUM_AGENT_STEPS_SAMPLED",
    "NUM_ENV_STEPS_SAMPLED",
    "NUM_ENV_STEPS_SAMPLED_LIFETIME",
    "NUM_EPISODES",
    "NUM_EPISODES_LIFETIME",
    "NUM_MODULE_STEPS_TRAINED_LIFETIME",
    "PPO",
    "SAMPLE_TIMER",
    "SYNCH_WORKER_WEIGHTS_TIMER",
    "TIMERS",
    "WEIGHTS_SEQ_NO",
    "Checkpointable",
    "Columns",
    "EnvRunner",
    "MultiAgentBatch",
    "MultiAgentEnv",
    "MultiRLModuleSpec",
    "PPOConfig",
    "PPOTorchLearner",
    "RLModuleSpec",
    "SampleBatch",
    "TorchDiagGaussian",
    "TorchMultiCategorical",
    "TorchRLModule",
    "ValueFunctionAPI",
]
