"""Weights on disk: safetensors and a JSON manifest with SHA-256 sums; never a pickle, never half a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from envs.errors import InterludeError
from envs.observation import schema_hash
from policies.critic import ObservableCritic
from policies.folders import DamagedFileError, read_folder, write_folder
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from policies.orchestrator_actor import OrchestratorActor
from policies.registry import DESK_TEAM, tuned_knobs

FORMAT: Final = 1
Actor = CreativeActor | BiddingActor | OrchestratorActor
"""A role's network."""
NETWORKS: Final[Mapping[str, type[nn.Module]]] = {
    "creative": CreativeActor,
    "bidding": BiddingActor,
    "orchestrator": OrchestratorActor,
    "critic": ObservableCritic,
}


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    return bytes_of({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def unpack_tensors(data: bytes, path: str | Path) -> dict[str, Tensor]:
    """Tensors of the bytes of a safetensors file.

    Raises:
        DamagedFileError: they are no such bytes.
    """
    try:
        return tensors_of(data)
    except SafetensorError as error:
        raise DamagedFileError(f"{path}: not a safetensors file: {error}") from error


def check_schema(found: str, path: Path) -> None:
    """Refuses what was trained on other observations.

    Raises:
        InterludeError: naming both schemas.
    """
    if found != schema_hash():
        raise InterludeError(
            f"{path} was trained on observation schema {found}; this version of Interlude has "
            f"{schema_hash()}: train again, or go back to the version that trained it"
        )


def save_networks(
    folder: Path, networks: Mapping[str, nn.Module], settings: NetworkSettings, about: Mapping[str, Any]
) -> None:
    """Writes `<name>.safetensors` for every network and the manifest that says what they are."""
    files, shapes = {}, {}
    for name, network in networks.items():
        state = network.state_dict()
        files[f"{name}.safetensors"] = pack_tensors(state)
        shapes[name] = {key: list(tensor.shape) for key, tensor in state.items()}
    manifest = {
        "format": FORMAT,
        "schema_hash": schema_hash(),
        "networks": settings.model_dump(),
        "tensors": shapes,
        "desk_knobs": tuned_knobs(DESK_TEAM),
        **about,
    }
    write_folder(folder, files, manifest, keep=False)


def load_networks(folder: Path) -> dict[str, nn.Module]:
    """The networks of a run's `policies` folder by name, ready to act.

    Raises:
        InterludeError: the folder is missing, damaged, or was trained on other observations.
    """
    manifest, files = read_folder(folder)
    check_schema(manifest.get("schema_hash", "(none)"), folder)
    settings = NetworkSettings.model_validate(manifest["networks"])
    networks = {}
    for file, data in files.items():
        name, path = file.partition(".")[0], folder / file
        if name not in NETWORKS:
            raise DamagedFileError(f"{path}: no network of this name; there are {', '.join(NETWORKS)}")
        network = NETWORKS[name](settings)
        try:
            network.load_state_dict(unpack_tensors(data, path))
        except RuntimeError as error:
            raise DamagedFileError(f"{path} does not fit the network: {error}") from error
        networks[name] = network.eval().requires_grad_(False)
    return networks


def load_actors(folder: Path) -> dict[str, Actor]:
    """The actors among `load_networks(folder)`, by role."""
    return actors_of(load_networks(folder))


def actors_of(networks: Mapping[str, nn.Module]) -> dict[str, Actor]:
    """The actors among networks, by role."""
    return {name: net for name, net in networks.items() if isinstance(net, Actor)}
