"""Checkpoints that resume bit for bit: weights, Adam's moments and counters, as tensors and JSON.

No generator's state is among them: markets, exploration noise and minibatches are drawn by counters
(seed and iteration), so the counters are enough. The one before is kept until the next is complete, and
beside it after that.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from envs.errors import InterludeError
from envs.observation import schema_hash
from policies.audience.agent import FOLDER as AUDIENCE
from policies.audience.agent import CollaborativeAudience
from policies.audience.artefact import save_artefact
from policies.folders import DamagedFileError, read_folder, write_folder
from policies.registry import make_team
from policies.weights import (
    NETWORKS,
    check_schema,
    load_actors,
    pack_tensors,
    save_networks,
    unpack_tensors,
)
from training.algorithm import MarketPPO
from training.batch import CRITIC
from training.configuration import TrainingConfiguration
from training.critic import Critic
from training.modules import actor_path
from training.rllib import (
    COMPONENT_LEARNER,
    COMPONENT_OPTIMIZER,
    COMPONENT_RL_MODULE,
)
from training.warm_up import WarmUp

FOLDER: Final = "checkpoint"
POLICIES: Final = "policies"
WEIGHTS, MOMENTS = "weights.safetensors", "optimizer.safetensors"
State = dict[str, Any]


@dataclass(frozen=True)
class Counters:
    """Where a run stands."""

    iteration: int = 0
    market_steps: int = 0
    elapsed_seconds: float = 0.0
    best_iteration: int = 0
    best_objective_usd: float | None = None
    """On development markets, of the policies that are kept; None before any was measured."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on."""

    counters: Counters
    warm_up: WarmUp
    weights: dict[str, Tensor]
    """By `module/parameter`."""
    moments: dict[str, Tensor]
    """By `optimizer/parameter number/moment`."""


def capture(algorithm: MarketPPO, counters: Counters, warm_up: WarmUp) -> Checkpoint:
    """What the algorithm knows now, copied."""
    state = _learner_state(algorithm)
    weights = {
        f"{module}/{name}": _copy(value)
        for module, values in state[COMPONENT_RL_MODULE].items()
        for name, value in values.items()
    }
    moments = {
        f"{optimizer}/{index}/{name}": _copy(value)
        for optimizer, held in state[COMPONENT_OPTIMIZER].items()
        for index, values in held["state"]["state"].items()
        for name, value in values.items()
    }
    return Checkpoint(counters, warm_up, weights, moments)


def restore(algorithm: MarketPPO, checkpoint: Checkpoint) -> None:
    """Puts a checkpoint into a freshly built algorithm, learners and runners."""
    state = _learner_state(algorithm)
    modules: dict[str, State] = {module: {} for module in state[COMPONENT_RL_MODULE]}
    for path, tensor in checkpoint.weights.items():
        module, name = path.split("/", 1)
        modules[module][name] = tensor.numpy()
    moments: dict[str, dict[int, State]] = {name: {} for name in state[COMPONENT_OPTIMIZER]}
    for path, tensor in checkpoint.moments.items():
        optimizer, index, name = path.rsplit("/", 2)
        moments[optimizer].setdefault(int(index), {})[name] = tensor
    for optimizer, held in state[COMPONENT_OPTIMIZER].items():
        held["state"]["state"] = moments[optimizer]
    state[COMPONENT_RL_MODULE] = modules
    algorithm.learner_group.set_state({COMPONENT_LEARNER: state})
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, inference_only=True
    )
    algorithm.flight = checkpoint.counters.iteration


def save(run: Path, checkpoint: Checkpoint) -> None:
    """Writes `<run>/checkpoint`, whole or not at all."""
    about = {
        "schema_hash": schema_hash(),
        "counters": asdict(checkpoint.counters),
        "warm_up": asdict(checkpoint.warm_up),
    }
    files = {WEIGHTS: pack_tensors(checkpoint.weights), MOMENTS: pack_tensors(checkpoint.moments)}
    write_folder(run / FOLDER, files, about, keep=True)


def load(run: Path) -> tuple[Checkpoint, list[str]]:
    """The newest good checkpoint of a run, and what was wrong with a newer one, which is put aside.

    Raises:
        InterludeError: there is none, or it was trained on other observations; every fault is named.
    """
    newest, previous = run / FOLDER, run / f"{FOLDER}.previous"
    faults: list[str] = []
    for folder in (newest, previous):
        try:
            found = _load(folder)
        except DamagedFileError as error:
            faults.append(str(error))
            continue
        if folder is previous and newest.exists():  # or the next save would take it for a good one
            shutil.rmtree(run / f"{FOLDER}.damaged", ignore_errors=True)
            newest.rename(run / f"{FOLDER}.damaged")
        return found, faults
    raise InterludeError(f"{run} has no checkpoint that can be resumed:\n  " + "\n  ".join(faults))


def _load(folder: Path) -> Checkpoint:
    manifest, files = read_folder(folder)
    check_schema(str(manifest.get("schema_hash")), folder)
    try:
        counters = Counters(**manifest["counters"])
        measured = manifest["warm_up"]
        warm_up = WarmUp(measured["statistics"], tuple(measured["truth_sizes"]), measured["arm_prior"])
        weights, moments = (unpack_tensors(files[name], folder / name) for name in (WEIGHTS, MOMENTS))
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"{folder / 'manifest.json'} is incomplete: {error}") from error
    return Checkpoint(counters, warm_up, weights, moments)


def networks_of(checkpoint: Checkpoint, configuration: TrainingConfiguration) -> dict[str, nn.Module]:
    """The learned actors and the observable critic, ready to act or to be exported."""
    critic = Critic(configuration.networks, configuration.critic, checkpoint.warm_up.truth_sizes)
    networks: dict[str, nn.Module] = {"critic": critic.observable}
    _fill(critic, CRITIC, "critic.", checkpoint)
    for role in configuration.learned_roles:
        actor = NETWORKS[role](configuration.networks)
        module, attribute = actor_path(role, monolithic=configuration.networks.monolithic)
        _fill(actor, module, f"{attribute}.", checkpoint)
        networks[role] = actor
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


def save_policies(
    run: Path, checkpoint: Checkpoint, configuration: TrainingConfiguration, *, keep_actors: bool = False
) -> None:
    """Writes `<run>/policies`, and `<run>/audience` once: what evaluation, export and serving read.

    With `keep_actors` those that are there stay, beside the checkpoint's critic: they are the best so far.
    """
    about = {
        "scenario": configuration.scenario,
        "base_team": configuration.base_team,
        "attribution": configuration.attribution,
        "learned_roles": list(configuration.learned_roles),
        "orchestrator": configuration.orchestrator,
        "critic": configuration.critic,
        "seed": configuration.seed,
        "configuration_hash": configuration.hash,
        "arm_prior": checkpoint.warm_up.arm_prior,
        **asdict(checkpoint.counters),
    }
    networks = networks_of(checkpoint, configuration)
    if keep_actors:
        networks |= load_actors(run / POLICIES)
    save_networks(run / POLICIES, networks, configuration.networks, about)
    audience = make_team(configuration.base_team).policies["audience"]
    if isinstance(audience, CollaborativeAudience) and not (run / AUDIENCE).exists():
        save_artefact(run / AUDIENCE, audience.artefact(configuration.load_scenario()))


def _fill(network: nn.Module, module: str, prefix: str, checkpoint: Checkpoint) -> None:
    start = f"{module}/{prefix}"
    network.load_state_dict(
        {n.removeprefix(start): tensor for n, tensor in checkpoint.weights.items() if n.startswith(start)}
    )


def _learner_state(algorithm: MarketPPO) -> State:
    parts = [f"{COMPONENT_LEARNER}/{part}" for part in (COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER)]
    state: State = algorithm.learner_group.get_state(components=parts)[COMPONENT_LEARNER]
    return {part: state[part] for part in (COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER)}


def _copy(value: Any) -> Tensor:
    """A tensor of its own; RLlib hands scalar parameters over as Python floats, all of ours are float32."""
    return torch.from_numpy(np.array(value, np.float32))
