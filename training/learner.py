"""The learner: PPO of the learned roles' actors with one critic, on RLlib's learner group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from envs.errors import InterludeError
from training.batch import CRITIC, learning_batch, minibatches, permutation_generator, row_count
from training.configuration import TrainingConfiguration
from training.critic import critic_loss
from training.losses import DECISIONS, Columns, Diagnostics, actor_loss
from training.proximal import from_here
from training.rllib import (
    ALL_MODULES,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
    MultiAgentBatch,
    PPOTorchLearner,
    SampleBatch,
)
from training.rollout import joined

CHUNK: Final = 512
"""Rows whose ratios are found at once."""
ITERATION, PROGRESS = "iteration", "progress"
"""What the algorithm tells the learner beside the batch, in `timesteps`."""


class MarketLearner(PPOTorchLearner):
    """Takes rollouts, computes advantages once, and steps on minibatches of whole markets.

    What the stock learner does for every minibatch and what is not needed here is left out (RLlib 2.60):
    its own value connector, two finiteness checks a parameter, twenty metrics, train/eval switches.
    """

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        """None: actors have no value function."""
        return []

    def build(self) -> None:
        """Builds modules and optimisers."""
        self.training = TrainingConfiguration.model_validate(self.config.env_config["training"])
        self._sums: dict[str, dict[str, list[Tensor]]] = {}
        self._iteration, self._progress, self._rows = 0, 0.0, 0
        torch.set_num_threads(1)
        super().build()

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One fused Adam a module; its learning rate is set before each update."""
        parameters = self.get_parameters(self.module[module_id])
        optimizer = torch.optim.Adam(parameters, eps=1e-5, fused=True)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters)

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Sets the learning rates: linear in the run's progress."""
        self._iteration = int(timesteps[ITERATION])
        self._progress = float(timesteps[PROGRESS])
        for name, optimizer in self._named_optimizers.items():
            module = self._optimizer_name_to_module[name]
            self._set_optimizer_lr(optimizer, self.training.ppo.learning_rate(module, self._progress))

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: Any,
        num_epochs: int = 1,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Minibatches of rollouts, one permutation for all modules."""
        columns = joined(training_data.batch)
        critic = self.module[CRITIC].unwrapped().critic
        networks = self.training.networks
        batch, explained = learning_batch(
            *(columns, critic, self.training.ppo, self._device),
            whole_flights=bool(networks.memory),
            together=networks.monolithic,
        )
        self.metrics.log_dict(explained, key=CRITIC, window=1)
        for role, decision in DECISIONS.items():
            if decision in columns and not np.isfinite(columns[f"{decision}_log_probability"]).all():
                raise InterludeError(f"the {role} actor's probabilities are not finite: it has diverged")
        if self.training.sampling.overlap:
            batch |= {id: self._from_here(id, part) for id, part in batch.items() if id != CRITIC}
        self._rows = 0
        generator = permutation_generator(self.training.seed, self._iteration)
        for part in minibatches(batch, num_epochs, self.training.ppo.minibatches, generator):
            rows = row_count(part)
            self._rows += rows
            yield MultiAgentBatch({id: SampleBatch(columns) for id, columns in part.items()}, rows)

    @torch.no_grad()
    def _from_here(self, module_id: str, columns: Columns) -> Columns:
        """Rows of an actor that measure ratios from its weights as they are now."""
        parts = zip(*(torch.split(column, CHUNK) for column in columns.values()), strict=True)
        found = []
        for values in parts:
            part = dict(zip(columns, values, strict=True))
            outputs = self.module[module_id].unwrapped()._forward(part)
            for role in self.training.actor_modules[module_id]:
                part = from_here(role, outputs, part)
            found.append(part)
        return {name: torch.cat([part[name] for part in found]) for name in columns}

    def _uncompiled_update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """One gradient step of every module."""
        if self.config.num_learners > 1:
            outputs = self.module.forward_train(batch)  # through DDP, which averages the gradients
        else:
            outputs = {id: self.module[id].unwrapped()._forward(columns) for id, columns in batch.items()}
        losses = self.compute_losses(fwd_out=outputs, batch=batch)
        for optimizer in self._named_optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        clip = self.training.ppo.gradient_clip
        for id in losses:
            norm = torch.nn.utils.clip_grad_norm_(self.module[id].parameters(), clip)
            self._note(id, {"gradient_norm": norm})
        for optimizer in self._named_optimizers.values():
            optimizer.step()
        return outputs, losses, {}

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Tensor], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Loss of an actor, the sum of both in a monolithic policy, or the critic's squared error."""
        if module_id == CRITIC:
            loss = critic_loss(fwd_out["values"], batch["target"])
            self._note(CRITIC, {"value_loss": loss.detach()})
            return loss
        losses = []
        for role in self.training.actor_modules[module_id]:
            settings = (self.training.ppo, self.training.teacher, self._progress)
            loss, diagnostics = actor_loss(role, fwd_out, batch, *settings)
            self._note(role, diagnostics)
            losses.append(loss)
        return torch.stack(losses).sum()

    def _note(self, name: str, diagnostics: Diagnostics) -> None:
        """Keeps a minibatch's diagnostics of a module, or of a role in it, until the update ends."""
        sums = self._sums.setdefault(name, {})
        for diagnostic, value in diagnostics.items():
            sums.setdefault(diagnostic, []).append(value)

    def _log_metrics(self, batch: Any) -> None:
        """Nothing by the minibatch."""

    def _log_steps_trained_metrics(self, batch: Any) -> None:
        """Nothing by the minibatch."""

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Writes the update's metrics once; raises when learning has gone astray."""
        modules = (*self.training.actor_modules, CRITIC)
        for module_id, sums in self._sums.items():
            means = {name: float(torch.stack(values).mean()) for name, values in sums.items()}
            astray = [name for name, value in means.items() if not np.isfinite(value)]
            if astray:
                raise InterludeError(
                    f"{module_id}: {', '.join(astray)} is not finite in iteration {self._iteration}: "
                    "training has diverged; lower its learning rate or ppo.gradient_clip"
                )
            if module_id in modules:  # a role of a monolithic policy is none
                means["learning_rate"] = self.training.ppo.learning_rate(module_id, self._progress)
            self.metrics.log_dict(means, key=module_id, window=1)
        for module_id in modules:
            self.metrics.log_value(
                (module_id, NUM_MODULE_STEPS_TRAINED_LIFETIME), self._rows, reduce="lifetime_sum"
            )
        total = self._rows * len(modules)
        self.metrics.log_value((ALL_MODULES, NUM_MODULE_STEPS_TRAINED_LIFETIME), total, reduce="lifetime_sum")
        self._sums = {}
