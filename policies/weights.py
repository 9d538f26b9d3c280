"""Weights on disk: safetensors and a JSON manifest with SHA-256 sums; never a pickle, never half a folder.

A folder is written beside its place and renamed into it, so that a reader finds the old one or the new.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
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
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from policies.registry import DESK_TEAM, tuned_knobs

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
NETWORKS: Final[Mapping[str, type[nn.Module]]] = {
    "creative": CreativeActor,
    "bidding": BiddingActor,
    "critic": ObservableCritic,
}


class DamagedFileError(InterludeError):
    """A file that is missing, cut short or altered; the message names it."""


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


def write_folder(
    folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, keep: bool
) -> None:
    """Writes a folder whole or not at all; `manifest` is stored with the files' SHA-256 sums.

    The folder before it becomes `<folder>.previous` (and is removed at the end unless `keep`), so that one
    good folder exists at every moment, also when the disk is full or the process is killed.

    Raises:
        InterludeError: the folder cannot be written.
    """
    new, previous = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("new", "previous"))
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = json.dumps({**manifest, "sha256": sums}, indent=2, allow_nan=False) + "\n"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for name, data in {**files, MANIFEST: text.encode()}.items():
            with (new / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync(new)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        new.rename(folder)
        _sync(folder.parent)
        if not keep:
            shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise InterludeError(f"cannot write {folder}: {error.strerror or error}") from error


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of a folder that `write_folder` wrote, every sum checked.

    Raises:
        DamagedFileError: a file is missing, cut short or altered; it is named.
    """
    manifest = read_manifest(folder)
    files = {}
    for name, expected in manifest["sha256"].items():
        path = folder / name
        data = _read(path)
        if (found := hashlib.sha256(data).hexdigest()) != expected:
            raise DamagedFileError(
                f"{path} is damaged: its SHA-256 is {found[:16]}…, {MANIFEST} says {expected[:16]}… "
                f"({len(data)} bytes)"
            )
        files[name] = data
    return manifest, files


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        DamagedFileError: it is missing or not ours.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(_read(path))
        names = manifest["sha256"]
        if any(Path(name).name != name for name in names):
            raise ValueError("a file name leaves the folder")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error
    return dict(manifest)


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


def load_actors(folder: Path) -> dict[str, CreativeActor | BiddingActor]:
    """The actors among `load_networks(folder)`, by role."""
    networks = load_networks(folder)
    return {name: net for name, net in networks.items() if isinstance(net, CreativeActor | BiddingActor)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing") from error
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror or error}") from error


def _sync(directory: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
