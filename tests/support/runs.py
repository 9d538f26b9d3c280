"""Run directories for tests: untrained networks where training is not what is tested."""

from __future__ import annotations

import fcntl
import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch

from envs.observation import schema_hash
from policies.critic import ObservableCritic
from policies.export import export
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from policies.orchestrator_actor import OrchestratorActor
from policies.tensors import ROLES_OF_CAMPAIGNS
from policies.weights import NETWORKS, save_networks

SCENARIO = """
name: tiny
description: for tests
campaigns: 2
intervals: 6
intervals_per_day: 3
opportunities_per_interval: 24
listeners: {count: 32}
"""
SETTINGS = NetworkSettings(creative_hidden=8, bidding_hidden=8, critic_hidden=8)
TALLYING = NetworkSettings(
    creative_hidden=16,
    bidding_hidden=16,
    critic_hidden=8,
    asset_hidden=16,
    creative_residual=False,
    bidding_residual=False,
    bidding_steps=True,
    belief=False,
    tally=True,
)
RECURRENT = SETTINGS.model_copy(update={"memory": 5, "foretells": True})


WITH_JOURNEYS = (
    SCENARIO.replace("intervals: 6", "intervals: 14")
    + "journeys: {people: 32, conversions_per_purchase: 500}\n"
)
"""Long enough for attribution to speak."""


def a_scenario(folder: Path, text: str = SCENARIO) -> Path:
    """The file of a scenario that plays in milliseconds."""
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def a_run(
    path: Path,
    scenario: Path,
    roles: tuple[str, ...] = ("creative", "bidding"),
    settings: NetworkSettings = SETTINGS,
    base_team: str = "certainty-equivalent",
    orchestrator: str = "base",
    attribution: str | None = None,
) -> Path:
    """A run directory whose networks are random, and loud enough to leave the desk's rule."""
    torch.manual_seed(0)
    networks = {name: NETWORKS[name](settings) for name in (*roles, "critic")}
    for network in networks.values():
        if isinstance(network, BiddingActor) and network.by_segment is not None:
            torch.nn.init.normal_(network.by_segment.of_segment.weight, std=0.5)
        elif isinstance(network, CreativeActor | BiddingActor):
            torch.nn.init.normal_(network.output.weight, std=0.5)
        if isinstance(network, OrchestratorActor):
            torch.nn.init.normal_(network.network.output.weight, std=0.5)
        if isinstance(network, ObservableCritic):
            network.return_scale.fill_(2000.0)
    path.mkdir(parents=True)
    learned = ", ".join(roles)
    (path / "config.yaml").write_text(
        f"name: tiny\nscenario: {scenario}\nseed: 3\nbase_team: {base_team}\nlearned_roles: [{learned}]\n"
        + f"orchestrator: {orchestrator}\n"
        + ("" if attribution is None else f"attribution: {attribution}\n")
    )
    about = {"kind": "interlude-run", "git_commit": "abc", "schema_hash": schema_hash()}
    (path / "manifest.json").write_text(json.dumps(about))
    told = {"configuration_hash": "0123456789ab", "base_team": base_team, "orchestrator": orchestrator}
    save_networks(path / "policies", networks, settings, told)
    return path


@cache
def exported(
    base: Path,
    settings: NetworkSettings = SETTINGS,
    base_team: str = "certainty-equivalent",
    attribution: str | None = None,
) -> tuple[Path, Path]:
    """A run and its bundle, made once for all processes of a session; tests copy what they change.

    The one on `listener-aware` is directed by its critic, as `quick`'s is. With an attribution model the
    market has journeys, and networks see credit.

    Args:
        base: pytest's folder of this process, which under xdist lies in the one of all processes.
        settings: of the networks.
        base_team: whose roles are learned, or stay.
        attribution: model of the sixth role.
    """
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / f"exported-{base_team}-{settings.memory}-{settings.tally}-{attribution}"
    run, bundle = folder / "run", folder / "bundle"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not bundle.is_dir():
            folder.mkdir(exist_ok=True)
            scenario = a_scenario(folder, SCENARIO if attribution is None else WITH_JOURNEYS)
            settings = settings.model_copy(update={"credit": attribution is not None})
            director = "critic" if base_team == "listener-aware" else "base"
            a_run(run, scenario, (*ROLES_OF_CAMPAIGNS,), settings, base_team, director, attribution)
            export(run, bundle)
    return run, bundle


def export_takes_networks_of(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports write the ONNX files of a bundle of the very same networks, instead of ten seconds of tracing.

    All else is theirs, and the check of parity with PyTorch too, which other networks would not pass.
    """

    def onnx_bytes(name: str, _network: object, _seen: object) -> bytes:
        return (bundle / name / "model.onnx").read_bytes()

    monkeypatch.setattr("policies.export.onnx_bytes", onnx_bytes)
