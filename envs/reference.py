"""The reference of observations and messages, written from the tables that the code itself uses.

`python -m envs.reference docs` writes `observations.md`, `protocol.md` and `event_log.md`; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_type_hints

from envs import catalogue as cat
from envs.event_schema import event_log_text
from envs.observation import SCHEMAS, Schema, schema_hash
from envs.protocol import (
    ATTRIBUTION,
    BOUNDS,
    CREATIVES_SHAPE,
    CREDIT_BOUNDS,
    OF_CREATIVES,
    PROTOCOL_VERSION,
    SENDERS,
    Board,
    FieldBounds,
    action_shape,
)

VOCABULARY: Final[dict[str, tuple[str, ...]]] = {
    "segment (S)": cat.SEGMENTS,
    "placement (P)": cat.PLACEMENTS,
    "format (F)": cat.FORMATS,
    "script (V)": cat.SCRIPTS,
    "length": cat.LENGTHS,
    "call to action": cat.CALLS_TO_ACTION,
    "advice": cat.ADVICE,
    "alert kind": cat.ALERT_KINDS,
    "severity": cat.SEVERITIES,
}
NOTE: Final = "<!-- written by `python -m envs.reference docs`: change the code, not this file -->\n"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0e}".replace("e+0", "e")


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "1"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def _schema_table(schema: Schema) -> str:
    rows = []
    for field in schema.fields:
        block = schema.slices[field.name]
        where = f"{block.start}" if field.size == 1 else f"{block.start} to {block.stop - 1}"
        bounds = f"{_number(field.low)} to {_number(field.high)}"
        rows.append((where, f"`{field.name}`", _shape(field.shape), field.unit, bounds, field.meaning))
    return _table(("index", "field", "shape", "unit", "bounds", "meaning"), rows)


def observations_text() -> str:
    """`docs/observations.md`."""
    parts = [
        NOTE,
        "# Observations\n",
        "Every agent sees one float32 vector of named fields, clipped to their bounds. "
        "`SCHEMAS[role].view(observation, field)` of `envs.observation` gives a field back in its shape. "
        f"Creative and bidding agents see the same fields of their own campaign. Schema `{schema_hash()}`.\n",
        "The critic's `state()` is the orchestrator's observation followed by "
        f"{cat.MAX_CAMPAIGNS} bidding observations, zeros where a campaign does not exist.\n",
    ]
    for role, schema in SCHEMAS.items():
        if role != "bidding":
            title = "creative and bidding" if role == "creative" else role
            parts += [f"## {title}: {schema.size} numbers\n", _schema_table(schema)]
    return "\n".join(parts)


def _action_rows(role: str) -> Sequence[tuple[str, ...]]:
    rows = []
    for field, bounds in BOUNDS[role].items():
        shape = action_shape(role, field, 1)
        one = shape[1:] if role in ("creative", "bidding") else shape
        rows.append((f"`{field}`", _shape(one), _range(bounds), bounds.unit))
    return rows


def _creative_rows() -> Sequence[tuple[str, ...]]:
    return [
        (f"`{name}`", f"`{field}`", _shape(CREATIVES_SHAPE), _range(told), told.unit)
        for name, (_, _, bounds) in OF_CREATIVES.items()
        for field, told in bounds.items()
    ]


def _credit_shape(field: str) -> tuple[int, ...]:
    return (cat.MAX_CAMPAIGNS,) if field == "hold_out" else (cat.MAX_CAMPAIGNS, cat.P, cat.F)


def _range(bounds: FieldBounds) -> str:
    whole = ", whole" if bounds.integer else ""
    return f"{_number(bounds.low)} to {_number(bounds.high)}{whole}"


def protocol_text() -> str:
    """`docs/protocol.md`."""
    messages = get_type_hints(Board)
    rows = []
    for name, role in SENDERS.items():
        if role == ATTRIBUTION:
            continue
        sender = f"{role}_<c>" if role in ("creative", "bidding") else f"{role}_0"
        fields = ", ".join(f"`{field}`" for field in messages[name]._fields)
        meaning = (messages[name].__doc__ or "").partition(": ")[2].rstrip(".")
        rows.append((f"`{name}`", f"`{sender}`", fields, meaning))
    parts = [
        NOTE,
        "# Protocol\n",
        f"Version {PROTOCOL_VERSION} (version 2 added alerts and pauses of single creatives, version 3 "
        "the bids as they were sent).\n",
        "Agents speak in typed messages, posted in interval t and delivered in t + 1: on the board "
        "(`envs.protocol.Board`), in observations, in logs and renderings. What audience, monitor and "
        "orchestrator post is their action; creative and spend plans follow from the actions of the "
        "creative and bidding agents, but for `premium_value_usd`, which is as the creative agent says.\n",
        "## Messages\n",
        _table(("message", "from", "fields", "says"), rows),
        "## Actions\n",
        "Shape of one agent's field, bounds and unit. Global roles address campaigns padded to "
        f"{cat.MAX_CAMPAIGNS}; entries of campaigns that do not exist are ignored. A value that is not "
        "finite, not whole where it has to be, or out of bounds is an error. The arrays of `vector_env` "
        "(`envs.protocol.Actions`) carry a leading axis of markets; `envs.spaces` says how the PettingZoo "
        "view lays the same fields out.\n",
    ]
    for role in BOUNDS:
        parts += [f"### {role}\n", _table(("field", "shape", "bounds", "unit"), _action_rows(role))]
    parts += [
        "A creative agent chooses by segment a format, a script, a length and a call to action "
        f"({', '.join(map(str, cat.CREATIVE_CHOICES))} choices). Beside it the agent may claim "
        "`premium_value_usd`: by how much the objective would rise in an interval if it could air video in "
        "the segment, over its best creative without. Who says nothing claims 0, and the rule book then "
        "grants by affinity, brief and budget left. A bidding agent's log-multipliers are one global, then "
        "by placement, then by segment; those of a placement and segment add up.\n",
        "### Creatives\n",
        f"A campaign has {cat.V} creatives: its scripts, in whatever format, length and call they air. "
        "Monitor and orchestrator may say more beside their actions (`Actions.creative_alert`, "
        "`Actions.creative_pause`; in the PettingZoo view their action is then a dictionary, see "
        "`envs.spaces`); who says nothing alerts of none and pauses none. No observation holds it: it is on "
        "the board, which agents of one team read (`Observations.board`), and in the creative agent's action "
        "mask. A paused creative cannot air: from the interval of the pause's delivery on the next script "
        "that is not paused airs in its place, in the same format, length and call; a campaign all of whose "
        "creatives are paused makes no bids.\n",
        _table(("message", "field", "shape", "bounds", "unit"), _creative_rows()),
        f"## {ATTRIBUTION}\n",
        "A sixth role, there only where a team names it and the scenario has journeys "
        "(docs/attribution.md). It posts `CellCredit` by campaign, placement and format; nobody else's "
        "action or observation changes. Campaigns' desks read it; networks see it among their desk's beliefs "
        "where they were trained to.\n",
        _table(
            ("field", "shape", "bounds", "unit"),
            [
                (f"`{name}`", _shape(_credit_shape(name)), _range(bounds), bounds.unit)
                for name, bounds in CREDIT_BOUNDS.items()
            ],
        ),
        "## Vocabulary\n",
        "An index stands for its place in these lists, from 0.\n",
        _table(("list", "names"), [(name, ", ".join(words)) for name, words in VOCABULARY.items()]),
    ]
    return "\n".join(parts)


def _event_log_text() -> str:
    return f"{NOTE}\n{event_log_text()}"


DOCUMENTS: Final = {
    "observations.md": observations_text,
    "protocol.md": protocol_text,
    "event_log.md": _event_log_text,
}


def main(arguments: list[str]) -> int:
    """Writes the documents into the folder named."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m envs.reference FOLDER (an existing one)", file=sys.stderr)
        return 2
    for name, text in DOCUMENTS.items():
        (Path(arguments[0]) / name).write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
