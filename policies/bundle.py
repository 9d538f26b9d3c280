"""An exported team as an ad server runs it: ONNX networks on a campaign desk, scripted roles beside them.

Needs numpy, numba (the desk) and onnxruntime; neither torch nor ray. Nothing is unpickled. A bundle:

| file | holds |
|---|---|
| `manifest.json` | what the bundle is made of and from, and the SHA-256 of every other file |
| `creative/model.onnx`, `bidding/model.onnx` | learned roles; scaling, masks and decoding in the graph |
| `orchestrator/model.onnx` | where it is learned: how directives depart from the rule book |
| `critic/model.onnx` | value of the observable state |
| `audience/` | what the audience agent tells listeners apart by, if it does: an artefact of its own |
| `scenario.json` | the market it was trained in: horizon, unit values, price level |
| `schema/<role>.json`, `schema/messages.json` | observations and actions of every role; messages |
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
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of

from envs.errors import InterludeError
from envs.observation import SCHEMAS, schema_hash
from envs.scenario import Scenario
from policies.arm_prior import ArmPrior
from policies.audience.agent import FOLDER as AUDIENCE
from policies.audience.agent import CollaborativeAudience
from policies.audience.listener_model import ListenerModel, load_listener_model
from policies.critic_orchestrator import OWN_CRITIC, CriticOrchestrator, critic_of_model
from policies.desk import CampaignDesk
from policies.exported import BundleError, ExportedModel, ExportedPolicy
from policies.golden import take_credit, take_impressions
from policies.policy import Flight, Policy
from policies.registry import make_team
from policies.residual_orchestrator import ExportedOrchestrator
from policies.tally import Tally
from policies.team import Team
from policies.teams import filter_desk
from policies.tensors import (
    MODELS,
    TOLERANCE,
    Arrays,
    ModelSpec,
    desk_tensors,
    difference,
    disagreements,
    flat,
    model_spec,
    tally_tensors,
)

MANIFEST: Final = "manifest.json"
SCENARIO: Final = "scenario.json"
GOLDEN: Final = "golden.safetensors"
CHECKED_INTERVALS: Final = 2
"""Golden intervals that are run again when a bundle is opened."""


class ScriptedSource(BaseModel):
    """A scripted team by its name and knobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    knobs: dict[str, float]

    def make(self, attribution: str | None = None) -> Team:
        """A fresh team, with a sixth role where a model is named."""
        return make_team(self.name, self.knobs, attribution)


class Manifest(BaseModel):
    """What the runtime reads of `manifest.json`; there is more in it, for people."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["interlude-bundle"]
    format: Literal[1, 2, 3, 4]
    """2: recurrent actors, which who reads only 1 could not run; 3: a team with attribution; 4: actors that
    stand on a tally."""
    name: str
    schema_hash: str
    schema_hashes: dict[str, str]
    learned_roles: tuple[Literal["creative", "bidding", "orchestrator"], ...]
    model_aware: bool
    orchestrator: Literal["base", "critic"] = "base"
    """Who directs: the base team's (or a learned one's network), or one that splits budgets by the critic."""
    claims_video: bool = False
    """Whether the creative agent claims video at the desk's worth, as one that reads the desk does."""
    memory: int = Field(0, ge=0)
    """Units that recurrent actors remember of a segment or a campaign; 0 = feed-forward."""
    desk: dict[str, float]
    arm_prior: dict[str, Any] | None = None
    base_team: ScriptedSource
    reads_listeners: bool = False
    """Whether its desk and its audience learn from single impressions."""
    attribution: str | None = None
    """The model of its sixth role; None where nobody attributes."""
    credit: bool = False
    """Whether its networks see what that role says."""
    tally: bool = False
    """Whether its actors stand on a tally in place of the desk's beliefs and bids."""
    stand_in_team: ScriptedSource
    sha256: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file checked, its networks ready."""

    path: Path
    manifest: Manifest
    scenario: Scenario
    models: Mapping[str, ExportedModel]
    """By name: the learned roles and `critic`."""
    listeners: ListenerModel | None = None
    """What its audience agent tells listeners apart by."""

    def desk(self) -> CampaignDesk:
        """A desk with the knobs the team was exported with."""
        manifest = self.manifest
        prior = None if manifest.arm_prior is None else ArmPrior.from_json(manifest.arm_prior)
        return filter_desk(
            manifest.desk,
            prior,
            reads_listeners=manifest.reads_listeners,
            tells_credit=manifest.credit,
        )

    def base_team(self) -> Team:
        """A fresh team of its scripted roles, those that are learned among them."""
        return self.manifest.base_team.make(self.manifest.attribution)

    def spec(self, name: str) -> ModelSpec:
        """Inputs and outputs of one of its networks."""
        manifest = self.manifest
        return model_spec(name, manifest.memory, credit=manifest.credit, tally=manifest.tally)

    def tally(self) -> Tally | None:
        """A fresh tally, if its actors stand on one."""
        return Tally() if self.manifest.tally else None

    def team(self) -> Team:
        """A fresh team: learned roles on one desk, the others and the stand-ins by their rules."""
        desk, manifest = self.desk(), self.manifest
        learned: dict[str, Policy] = {}
        for role in manifest.learned_roles:
            if role == "orchestrator":
                learned[role] = ExportedOrchestrator(self.models[role], desk, manifest.name)
                continue
            spec = self.spec(role)
            claims = role == "creative" and manifest.claims_video
            how = (desk, manifest.name, manifest.model_aware, claims, self.tally())
            learned[role] = ExportedPolicy(self.models[role], spec, *how)
        if manifest.orchestrator == OWN_CRITIC:
            critic = critic_of_model(self.models["critic"])
            learned["orchestrator"] = CriticOrchestrator(
                critic, desk, name=manifest.name, model_aware=manifest.model_aware
            )
        policies = {**self.base_team().policies, **learned}
        audience = policies["audience"]
        if self.listeners is not None and isinstance(audience, CollaborativeAudience):
            audience.embed_by(self.listeners)
        return Team(
            name=manifest.name,
            policies=policies,
            stand_ins=manifest.stand_in_team.make().policies,
            model_aware=manifest.model_aware,
        )


def open_bundle(path: str | Path, *, verify: bool = True, whole_flights: bool = False) -> Bundle:
    """Reads a bundle, checks the SHA-256 of every file, and unless told not to runs golden pairs again.

    Args:
        path: the bundle's directory.
        verify: whether to run golden pairs at all.
        whole_flights: all intervals of the golden flights, not only the first.

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
    needed = {*manifest.learned_roles} | ({OWN_CRITIC} if manifest.orchestrator == OWN_CRITIC else set())
    absent = sorted(needed - set(models))
    if absent:
        raise BundleError(f"{folder / MANIFEST} names no network {absent[0]!r}, which the team acts by")
    try:
        reads = f"{AUDIENCE}/{MANIFEST}" in files
        listeners = load_listener_model(folder / AUDIENCE) if reads else None
    except InterludeError as error:
        raise BundleError(str(error)) from error
    bundle = Bundle(folder, manifest, scenario, models, listeners)
    for name, model in models.items():
        model.check(bundle.spec(name))
    try:
        bundle.team()
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST}: knobs of another version of Interlude: {error}") from error
    if verify:
        _verify(bundle, files[GOLDEN], None if whole_flights else CHECKED_INTERVALS)
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


def _verify(bundle: Bundle, data: bytes, intervals: int | None) -> None:
    """Replays flights' first intervals, or all of them.

    Desk, tally and networks must give what they gave at export.

    Memories are those of the replay, not the golden ones.
    """
    path = bundle.path / GOLDEN
    try:
        golden = tensors_of(data)
        impressions, credit = take_impressions(golden), take_credit(golden)
        seeds, shape = golden.pop("seeds"), golden["observation"].shape
    except (SafetensorError, KeyError) as error:
        raise BundleError(f"{path}: not golden pairs: {error}") from error
    flight = Flight(bundle.scenario, len(seeds), shape[2], seeds)
    desk, tally = bundle.desk(), bundle.tally()
    desk.start(flight)
    if tally is not None:
        tally.start()
    rows = int(np.prod(shape[1:3]))
    specs = {name: bundle.spec(name) for name in bundle.models}
    memory = {name: spec.empty_memory(rows) for name, spec in specs.items()}
    for interval in range(shape[0] if intervals is None else min(intervals, shape[0])):
        expected = {name: array[interval] for name, array in golden.items()}
        if interval in impressions:
            desk.read_impressions(impressions[interval])
        if interval in credit:
            desk.credited.read(credit[interval])
        desk.advance(expected["observation"])
        _agree(path, "the desk", expected, desk_tensors(desk, expected["observation"]))
        if tally is not None:
            level_usd = bundle.scenario.auction.price_level_usd
            _agree(path, "the tally", expected, tally_tensors(tally, expected["observation"], level_usd))
        for name, model in bundle.models.items():
            fed = memory[name]
            found = model((expected if "C" in specs[name].axes else flat(expected)) | fed)
            _agree(path, f"{name}/model.onnx", expected, fed | found)
            memory[name] = specs[name].carried(found)


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
