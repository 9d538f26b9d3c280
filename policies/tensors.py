"""What goes into and comes out of an exported network: named tensors with shapes, types and units.

One table for export, runtime, manifest and model card. Free axes: N rows (campaigns of any number of
markets), C campaigns of a market; the others have the lengths of `envs.catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import CREATIVE_CHOICES, K, S
from envs.observation import SCHEMAS, Observation
from envs.protocol import (
    BOUNDS,
    MAX_MULTIPLIER_LOG,
    OF_CREATIVES,
    SENDERS,
    action_shape,
    quiet_board,
)
from policies.credited import CREDIT
from policies.desk import BIDDING_ACTION, CAMPAIGN_BELIEF, SEGMENT_BELIEF, CampaignDesk
from policies.tally import CAMPAIGN_TALLY, SEGMENT_TALLY, Tally

Arrays = dict[str, NDArray[Any]]

ROLES_OF_CAMPAIGNS: Final = ("creative", "bidding")
"""Learned roles of which one row is one campaign."""
LEARNED_ROLES: Final = (*ROLES_OF_CAMPAIGNS, "orchestrator")
"""Roles that may be learned."""
CRITIC: Final = "critic"
DIRECTED: Final = 2
"""Numbers a campaign by which a learned orchestrator departs from the rule book: on money, on claims."""
TOLERANCE: Final = 1e-5
"""Most that an exported network may differ from what it was exported from; see `difference`."""
REFUSED_LOGIT: Final = -1e9
NEXT: Final = "_next"
"""Behind the name of a memory that goes in: the name of the memory that comes out."""


class TensorSpec(NamedTuple):
    """One input or output of an exported network."""

    name: str
    dtype: str  # as numpy calls it
    shape: tuple[int, ...]  # without the free axes
    unit: str
    low: float | None
    high: float | None
    meaning: str


class ModelSpec(NamedTuple):
    """One exported network."""

    axes: tuple[str, ...]  # the free axes of its inputs and outputs
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    memory: tuple[TensorSpec, ...] = ()  # inputs that a recurrent network gives back as outputs `…_next`

    def empty_memory(self, *free: int) -> Arrays:
        """Memory [*free, …] at a flight's start; nothing for a feed-forward network."""
        return {held.name: np.zeros((*free, *held.shape), held.dtype) for held in self.memory}

    def carried(self, outputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """What the outputs of an interval hand to the next one as inputs."""
        return {held.name: outputs[held.name + NEXT] for held in self.memory}


def _observation(role: str) -> TensorSpec:
    meaning = f"fields of schema/{role}.json, each in its own unit"
    name = "orchestrator" if role == "orchestrator" else "observation"
    return TensorSpec(name, "float32", (SCHEMAS[role].size,), "mixed", None, None, meaning)


_SEEN = (
    _observation("bidding"),
    TensorSpec("campaign_belief", "float32", (CAMPAIGN_BELIEF,), "scaled", None, None, "desk: the campaign"),
    TensorSpec("segment_belief", "float32", (S, SEGMENT_BELIEF), "scaled", None, None, "desk: its segments"),
)
_LOG_FACTOR = ("log factor", -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)
_ARM_LOG_SCORE = TensorSpec(
    "arm_log_score", "float32", (S, K), "log factor", None, 0.0, "desk: surplus of each arm over the best's"
)
_ARM_MASK = TensorSpec("arm_mask", "bool", (S, K), "flag", 0, 1, "desk: arms that may be trafficked")
_BASE_LOG_MULTIPLIER = TensorSpec(
    "base_log_multiplier", "float32", (BIDDING_ACTION,), *_LOG_FACTOR, "desk: the rule's bid"
)
_TALLIED: Final = {
    "campaign_belief": TensorSpec(
        "campaign_tally", "float32", (CAMPAIGN_TALLY,), "mixed", None, None, "tally: the campaign"
    ),
    "segment_belief": TensorSpec(
        "segment_tally", "float32", (S, SEGMENT_TALLY), "mixed", None, None, "tally: its segments"
    ),
    "base_log_multiplier": TensorSpec(
        "own_log_multiplier", "float32", (BIDDING_ACTION,), *_LOG_FACTOR, "tally: the level bid last"
    ),
}
"""What actors with a tally are fed in the place of what comes from a desk."""
_CREATIVE = TensorSpec(
    "creative",
    "int64",
    (S, len(CREATIVE_CHOICES)),
    "index",
    0,
    max(CREATIVE_CHOICES) - 1,
    "likeliest format, script, length and call to action of each segment",
)
_LOGITS = TensorSpec("logits", "float32", (S, K), "logit", REFUSED_LOGIT, None, "of each arm; -1e9 = refused")
_LOG_MULTIPLIER = TensorSpec(
    "log_multiplier",
    "float32",
    (BIDDING_ACTION,),
    *_LOG_FACTOR,
    "global, by placement, by segment; a bid is predicted value × exp(their sum)",
)
_VALUE = TensorSpec(
    "value_usd",
    "float32",
    (2 + S,),
    "USD",
    None,
    None,
    "expected reward of the flight's rest to creative, bidding and each segment",
)
_DIRECTION = TensorSpec(
    "direction", "float32", (DIRECTED,), "number", None, None, "departure from the rule book: money, claims"
)
MODELS: Final[Mapping[str, ModelSpec]] = {
    "creative": ModelSpec(("N",), (*_SEEN, _ARM_LOG_SCORE, _ARM_MASK), (_CREATIVE, _LOGITS)),
    "bidding": ModelSpec(("N",), (*_SEEN, _BASE_LOG_MULTIPLIER), (_LOG_MULTIPLIER,)),
    "orchestrator": ModelSpec(("N", "C"), (*_SEEN, _observation("orchestrator")), (_DIRECTION,)),
    CRITIC: ModelSpec(("N", "C"), (*_SEEN, _observation("orchestrator")), (_VALUE,)),
}
"""Feed-forward networks by name; an input `orchestrator` has no campaign axis."""


def model_spec(name: str, memory: int = 0, *, credit: bool = False, tally: bool = False) -> ModelSpec:
    """Inputs and outputs of a network.

    Args:
        name: key of `MODELS`.
        memory: units that the run's actors remember; 0 = feed-forward.
        credit: whether beliefs on the campaign end with what the attribution agent says.
        tally: whether the run's actors stand on a tally.
    """
    spec = MODELS[name]
    if tally and name in ROLES_OF_CAMPAIGNS:
        return spec._replace(inputs=tuple(_TALLIED.get(one.name, one) for one in spec.inputs))
    if credit:
        inputs = tuple(
            one._replace(shape=(CAMPAIGN_BELIEF + CREDIT,), meaning=f"{one.meaning}, and its credit by cell")
            if one.name == "campaign_belief"
            else one
            for one in spec.inputs
        )
        spec = spec._replace(inputs=inputs)
    if not memory or name not in ROLES_OF_CAMPAIGNS:
        return spec
    shape, of = ((S, memory), "each segment") if name == "creative" else ((memory,), "the campaign")
    held = TensorSpec(
        f"{name}_memory", "float32", shape, "hidden", -1.0, 1.0, f"of {of}; zero at a flight's start"
    )
    next_ = held._replace(name=held.name + NEXT, meaning=f"the next interval's `{held.name}`")
    return ModelSpec(spec.axes, (*spec.inputs, held), (*spec.outputs, next_), (held,))


def describe(name: str, memory: int = 0, *, credit: bool = False, tally: bool = False) -> dict[str, Any]:
    """Inputs and outputs of a network as plain data, free axes by their letters."""
    spec = model_spec(name, memory, credit=credit, tally=tally)

    def one(tensor: TensorSpec) -> dict[str, Any]:
        free = spec.axes[:1] if tensor.name == "orchestrator" else spec.axes
        return tensor._asdict() | {"shape": [*free, *tensor.shape]}

    return {"inputs": [one(tensor) for tensor in spec.inputs], "outputs": [one(t) for t in spec.outputs]}


def role_schema(role: str) -> dict[str, Any]:
    """What a role sees and may do: fields, shapes, units and bounds."""
    schema = SCHEMAS[role]
    return {
        "role": role,
        "hash": schema.hash,
        "observation_size": schema.size,
        "observation": [{**asdict(f), "start": schema.slices[f.name].start} for f in schema.fields],
        "action": [
            {"name": name, "shape": _action_shape(role, name), **asdict(bounds)}
            for name, bounds in BOUNDS[role].items()
        ],
    }


def message_schema() -> list[dict[str, Any]]:
    """The messages on the board: who sends them, and every field's shape and, where one is set, its bounds.

    Shapes are those of one campaign's message for creative and bidding agents, else of all of them.
    """
    bounds = {field: told for fields in BOUNDS.values() for field, told in fields.items()}
    for _, _, fields in OF_CREATIVES.values():
        bounds |= fields
    return [
        {
            "message": name,
            "sender": SENDERS[name],
            "fields": [
                {
                    "name": field,
                    "dtype": str(array.dtype),
                    "shape": list(array.shape[2 if SENDERS[name] in ROLES_OF_CAMPAIGNS else 1 :]),
                    **(asdict(bounds[field]) if field in bounds else {}),
                }
                for field, array in message._asdict().items()
            ],
        }
        for name, message in quiet_board(1, 1)._asdict().items()
        if message is not None  # a sixth role's, which no bundle has
    ]


def _action_shape(role: str, name: str) -> list[int]:
    """Shape of one agent's part of an action."""
    shape = action_shape(role, name, 1)
    return list(shape[1:] if role in ROLES_OF_CAMPAIGNS else shape)


def desk_tensors(desk: CampaignDesk, observation: Observation) -> Arrays:
    """What actors are fed in the interval that the desk has just advanced to: [B, C, …] each."""
    segment, campaign = desk.belief_features()
    return {
        "observation": observation,
        "campaign_belief": campaign,
        "segment_belief": segment,
        "arm_log_score": desk.arm_log_score,
        "arm_mask": desk.arm_mask,
        "base_log_multiplier": desk.base_log_multiplier,
    }


def tally_tensors(tally: Tally, observation: Observation, price_level_usd: float) -> Arrays:
    """What actors with a tally are fed beside, of an interval's observation: [B, C, …]; once an interval."""
    campaign, segment = tally.advance(observation)
    own = tally.own_level(observation, price_level_usd)
    return {"campaign_tally": campaign, "segment_tally": segment, "own_log_multiplier": own}


def flat(tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """The two leading axes of tensors as one: [B, C, …] as rows [N = B × C, …]."""
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in tensors.items()}


def difference(name: str, expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference between two computations of an output.

    Absolute for numbers up to 1 and relative above; of values in USD, relative to the largest of them.
    """
    scale = np.maximum(1.0, np.abs(expected))
    if name == "value_usd":
        scale = scale.max()
    return float(np.max(np.abs(expected.astype(np.float64) - found) / scale, initial=0.0))


def disagreements(logits: NDArray[Any], expected: NDArray[Any], found: NDArray[Any]) -> int:
    """Segments [..., S] whose creatives [..., S, 4] differ though the best arm's logit leads clearly."""
    best = np.sort(logits, -1)[..., -2:]
    clear = best[..., 1] - best[..., 0] > TOLERANCE * np.maximum(1.0, np.abs(best[..., 1]))
    return int(((expected != found).any(-1) & clear).sum())
