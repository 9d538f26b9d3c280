"""A fitted model on disk: `model.safetensors` and a manifest that says what it is and what it was fitted to.

Nothing is unpickled; every file's SHA-256 stands in the manifest. See `policies.folders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

from envs.errors import InterludeError
from policies.folders import MANIFEST, DamagedFileError, read_folder, with_manifest, write_folder

KIND: Final = "interlude-audience-model"
FORMAT: Final = 1
TENSORS: Final = "model.safetensors"

ModelName = Literal["als", "bpr", "sasrec", "gru"]
MODELS: Final[tuple[ModelName, ...]] = ("als", "bpr", "sasrec", "gru")
"""Of real histories."""
ListenerModelName = Literal["taste", "session"]
"""Of the market's listeners, see `policies.audience.listener_model`."""


class DataDescription(BaseModel):
    """What a model was fitted to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    listeners: int
    items: int
    events: int
    note: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    model: ModelName | ListenerModelName
    configuration: dict[str, Any]
    data: DataDescription


class Artefact(NamedTuple):
    """What a folder holds."""

    model: ModelName | ListenerModelName
    configuration: dict[str, Any]
    """Settings of the model, as its class dumps them."""
    data: DataDescription
    tensors: dict[str, NDArray[Any]]


def save_artefact(folder: Path, artefact: Artefact, about: Mapping[str, Any] | None = None) -> None:
    """Writes the folder whole or not at all; `about` is added to the manifest, for people.

    Raises:
        InterludeError: the folder cannot be written.
    """
    write_folder(folder, *_packed(artefact, about), keep=False)


def artefact_files(artefact: Artefact) -> dict[str, bytes]:
    """The folder's files by name, the manifest among them: to become part of a bundle."""
    return with_manifest(*_packed(artefact))


def _packed(
    artefact: Artefact, about: Mapping[str, Any] | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in artefact.tensors.items()}
    manifest = {
        "kind": KIND,
        "format": FORMAT,
        "model": artefact.model,
        "configuration": artefact.configuration,
        "data": artefact.data.model_dump(),
        "tensors": {name: [str(tensor.dtype), *tensor.shape] for name, tensor in tensors.items()},
        **(about or {}),
    }
    return {TENSORS: bytes_of(tensors)}, manifest


def load_artefact(folder: Path) -> Artefact:
    """What a folder holds, every sum checked.

    Raises:
        DamagedFileError: a file is missing, cut short or altered; it is named.
        InterludeError: the folder holds something else, or was written by another version.
    """
    manifest, files = read_folder(folder)
    path = folder / MANIFEST
    if manifest.get("kind") != KIND:
        raise InterludeError(f"{path}: kind must be {KIND!r}, got {manifest.get('kind')!r}")
    if manifest.get("format") != FORMAT:
        raise InterludeError(
            f"{path}: format must be {FORMAT}, got {manifest.get('format')!r}: written by another version; "
            "fit again"
        )
    try:
        read = _Manifest.model_validate(manifest)
        tensors = tensors_of(files[TENSORS])
    except (ValidationError, SafetensorError, KeyError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error
    return Artefact(read.model, read.configuration, read.data, tensors)


def take_tensor(artefact: Artefact, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """A tensor of an artefact, of this shape (None: any length).

    Raises:
        DamagedFileError: it is missing or has another shape.
    """
    tensor = artefact.tensors.get(name)
    wanted = str(shape).replace("None", "any")
    if tensor is None:
        raise DamagedFileError(f"{TENSORS}: tensor {name!r} {wanted} is missing")
    if len(tensor.shape) != len(shape) or any(
        length not in (None, found) for length, found in zip(shape, tensor.shape, strict=True)
    ):
        raise DamagedFileError(f"{TENSORS}: tensor {name!r} must have shape {wanted}, got {tensor.shape}")
    return tensor
