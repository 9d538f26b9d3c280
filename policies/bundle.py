"""An exported team as an ad server runs it: ONNX networks on a campaign desk, scripted roles beside them.

Needs numpy, numba (the desk) and onnxruntime; neither torch nor ray. Nothing is unpickled. A bundle:

| file | holds |
|---|---|
| `manifest.json` | what the bundle is made of and from, and the SHA-256 of every other file |
| `creative/model.onnx`, `bidding/model.onnx` | learned roles; scaling, masks and decoding in the graph |
| `critic/model.onnx` | value of the observable state |
| `scenario.json` | the market it was trained in: horizon, unit values, price level |
| `schema/<role>.json` | observation fields and action bounds of every role |
| `golden.safetensors` | the first flight of development markets: what was seen and what was answered |
| `MODEL_CARD.md` | what it is, how good it is, what it is not for |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of

from envs.errors import InterludeError
from envs.observation import SCHEMAS, Observation, schema_hash
from envs.scenario import Scenario
from policies.arm_prior import ArmPrior
from policies.desk import CampaignDesk
from policies.kalman import KalmanBelief
from policies.policy import Flight, Policy
from policies.registry import make_team
from policies.team import Team
from policies.teams import desk_of
from policies.tensors import (
    CRITIC,
    MODELS,
    TOLERANCE,
    Arrays,
    desk_tensors,
    difference,
    disagreements,
    flat,
)

MANIFEST: Final = "manifest.json"
SCENARIO: Final = "scenario.json"
GOLDEN: Final = "golden.safetensors"
CHECKED_INTERVALS: Final = 2
"""Golden intervals that are run again when a bundle is opened."""


class BundleError(InterludeError):
    """A bundle that cannot be used; the message names the file or what does not fit."""


class ScriptedSource(BaseModel):
    """A scripted team by its name and knobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    knobs: dict[str, float]

    def make(self) -> Team:
        """A fresh team."""
        return make_team(self.name, self.knobs)


class Manifest(BaseModel):
    """What the runtime reads of `manifest.json`; there is more in it, for people."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["interlude-bundle"]
    format: Literal[1]
    name: str
    schema_hash: str
    schema_hashes: dict[str, str]
    learned_roles: tuple[Literal["creative", "bidding"], ...]
    model_aware: bool
    desk: dict[str, float]
    arm_prior: dict[str, Any] | None = None
    base_team: ScriptedSource
    stand_in_team: ScriptedSource
    sha256: dict[str, str]


class ExportedModel:
    """An ONNX network, run on one thread."""

    def __init__(self, data: bytes, path: str | Path) -> None:
        """`path` is for messages.

        Raises:
            BundleError: the bytes are no network that onnxruntime can run.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own, of no common class
            raise BundleError(f"{path}: onnxruntime cannot load it: {error}") from error
        self.inputs = tuple(tensor.name for tensor in self._session.get_inputs())
        self.outputs = tuple(tensor.name for tensor in self._session.get_outputs())

    def __call__(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """Outputs by name; tensors that the network does not read may be given too."""
        found = self._session.run(self.outputs, {name: tensors[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))


class ExportedPolicy:
    """Drives a role by an exported network: any number of markets and campaigns, N = B × C rows at once."""

    privileged = False

    def __init__(
        self, model: ExportedModel, output: str, desk: CampaignDesk, name: str, model_aware: bool
    ) -> None:
        """`output` of the model is the role's action; the desk is shared with the other learned role."""
        self.model, self.output, self.desk = model, output, desk
        self.name, self.model_aware = name, model_aware

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.desk.start(flight)

    def act(self, observation: Observation) -> NDArray[Any]:
        """Actions [B, C, …] for observations [B, C, ·]: creatives as integers, log-multipliers as floats."""
        self.desk.advance(observation)
        rows = self.model(flat(desk_tensors(self.desk, observation)))[self.output]
        action = rows.reshape(*observation.shape[:2], *rows.shape[1:])
        return action if action.dtype == np.int64 else action.astype(np.float64)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file checked, its networks ready."""

    path: Path
    manifest: Manifest
    scenario: Scenario
    models: Mapping[str, ExportedModel]
    """By name: the learned roles and `critic`."""

    def desk(self) -> CampaignDesk:
        """A desk with the knobs the team was exported with."""
        taught, knobs = self.manifest.arm_prior, self.manifest.desk
        prior = None if taught is None else ArmPrior.from_json(taught)
        return desk_of(knobs, KalmanBelief(knobs["exploration"], arm_prior=prior))

    def team(self) -> Team:
        """A fresh team: learned roles on one desk, the others and the stand-ins by their rules."""
        desk, manifest = self.desk(), self.manifest
        learned: dict[str, Policy] = {}
        for role in manifest.learned_roles:
            action = MODELS[role].outputs[0].name
            learned[role] = ExportedPolicy(
                self.models[role], action, desk, manifest.name, manifest.model_aware
            )
        return Team(
            name=manifest.name,
            policies={**manifest.base_team.make().policies, **learned},
            stand_ins=manifest.stand_in_team.make().policies,
            model_aware=manifest.model_aware,
        )


def open_bundle(path: str | Path, *, verify: bool = True) -> Bundle:
    """Reads a bundle, checks the SHA-256 of every file, and unless told not to runs golden pairs again.

    Raises:
        BundleError: a file is missing or damaged, the bundle was made for other observations, or it does
            not reproduce its golden pairs.
    """
    folder = Path(path)
    manifest = _manifest(folder)
    _check_schema(manifest, folder)
    files = {name: _checked(folder / name, sum_) for name, sum_ in manifest.sha256.items()}
    missing = [name for name in (SCENARIO, GOLDEN) if name not in files]
    if missing:
        raise BundleError(f"{folder / MANIFEST} names no {' and no '.join(missing)}")
    try:
        scenario = Scenario.model_validate_json(files[SCENARIO])
    except ValidationError as error:
        raise BundleError(f"{folder / SCENARIO} is no scenario of this version: {error}") from error
    models = {
        name: ExportedModel(files[f"{name}/model.onnx"], folder / name / "model.onnx")
        for name in MODELS
        if f"{name}/model.onnx" in files
    }
    absent = sorted(set(manifest.learned_roles) - set(models))
    if absent:
        raise BundleError(f"{folder / MANIFEST} names no network of the learned role {absent[0]!r}")
    bundle = Bundle(folder, manifest, scenario, models)
    try:
        bundle.team()
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST}: knobs of another version of Interlude: {error}") from error
    if verify:
        _verify(bundle, files[GOLDEN])
    return bundle


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(_read(path))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BundleError(f"{path} is not the manifest of a bundle: {faults}") from error
    for name in manifest.sha256:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleError(f"{path}: file {name!r} lies outside the bundle")
    return manifest


def _check_schema(manifest: Manifest, folder: Path) -> None:
    if manifest.schema_hash == schema_hash():
        return
    roles = [role for role, schema in SCHEMAS.items() if manifest.schema_hashes.get(role) != schema.hash]
    raise BundleError(
        f"{folder} was made for observation schema {manifest.schema_hash}, this version of Interlude has "
        f"{schema_hash()} (different: {', '.join(roles) or 'the roles'}): export the run again, or load it "
        "with the version that exported it"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error


def _checked(path: Path, expected: str) -> bytes:
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise BundleError(
            f"{path} is damaged: its SHA-256 is {found[:16]}…, {MANIFEST} says {expected[:16]}… "
            f"({len(data)} bytes)"
        )
    return data


def _verify(bundle: Bundle, data: bytes) -> None:
    """Replays the first golden intervals: desk and networks must give what they gave at export."""
    path = bundle.path / GOLDEN
    try:
        golden = tensors_of(data)
        seeds, shape = golden.pop("seeds"), golden["observation"].shape
    except (SafetensorError, KeyError) as error:
        raise BundleError(f"{path}: not golden pairs: {error}") from error
    flight = Flight(bundle.scenario, len(seeds), shape[2], seeds)
    desk = bundle.desk()
    desk.start(flight)
    for interval in range(min(CHECKED_INTERVALS, shape[0])):
        expected = {name: array[interval] for name, array in golden.items()}
        desk.advance(expected["observation"])
        _agree(path, "the desk", expected, desk_tensors(desk, expected["observation"]))
        for name, model in bundle.models.items():
            found = model(expected if name == CRITIC else flat(expected))
            _agree(path, f"{name}/model.onnx", expected, found)


def _agree(path: Path, what: str, expected: Arrays, found: Arrays) -> None:
    for name, array in found.items():
        shaped = array.reshape(expected[name].shape)
        if name == "creative":
            apart = float(disagreements(expected["logits"], expected[name], shaped))
        else:
            apart = difference(name, expected[name], shaped)
        if not apart <= TOLERANCE:
            raise BundleError(
                f"{path}: {what} no longer gives the golden {name!r}: it is {apart:.2g} off, {TOLERANCE:g} "
                "is allowed. This Interlude or onnxruntime computes otherwise: export the run again"
            )
