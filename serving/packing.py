"""What agents do in an interval, as bytes for the ledger: named tensors, never pickled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

from envs.protocol import OF_CREATIVES, Actions, Alert, CellCredit, Directive, SegmentValue
from policies.team import BESIDE_THE_ACTION

_MESSAGES: Final = ("audience", "monitor", "orchestrator", "credit", *OF_CREATIVES)
_ARRAYS: Final = tuple(name for name in BESIDE_THE_ACTION.values() if name not in OF_CREATIVES)


def packed(actions: Actions) -> bytes:
    """Actions as named tensors."""
    arrays = {"creative": actions.creative, "bidding": actions.bidding}
    for name in _MESSAGES:
        message = getattr(actions, name)
        if message is None:
            continue
        arrays |= {f"{name}.{field}": array for field, array in message._asdict().items()}
    for name in _ARRAYS:
        if getattr(actions, name) is not None:
            arrays[name] = getattr(actions, name)
    return bytes(bytes_of({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def unpacked(data: bytes) -> Actions:
    """Actions from what `packed` gave."""
    arrays = tensors_of(data)

    def message(name: str) -> dict[str, Any]:
        return {key.split(".")[1]: array for key, array in arrays.items() if key.startswith(f"{name}.")}

    credit = message("credit")
    beside: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS}
    for name, (_, kind, _) in OF_CREATIVES.items():
        said = message(name)
        beside[name] = kind(**said) if said else None
    return Actions(
        audience=SegmentValue(**message("audience")),
        creative=arrays["creative"],
        bidding=arrays["bidding"],
        monitor=Alert(**message("monitor")),
        orchestrator=Directive(**message("orchestrator")),
        **beside,
        credit=CellCredit(**credit) if credit else None,
    )
