"""`python -m evaluation.independence docs [--markets N]` writes `independence.md` and `independence.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from envs.output import write_json, write_text_atomically
from evaluation.independence.faults import FAULTS
from evaluation.independence.study import ALLOWED_LOSS, TEAM, measure
from evaluation.reference import markdown_table

NOTE: Final = "<!-- written by `python -m evaluation.independence docs`: change the code, not this file -->\n"
INTRODUCTION: Final = """\
Roles speak by messages ([protocol.md](protocol.md)) and are replaced one by one
([own_policy.md](own_policy.md)). Here is what each kind of message is worth, and what becomes of a flight
when a role fails. Brackets are 95 % intervals over markets, in pairs on the same markets.
"""
MUTED: Final = """\
All roles act as ever, but one kind of message is lost: what is posted counts as never said, what the
environment makes of actions (plans) is 0 in every observation. Where no market
changes, nobody who reads the message acts on it in this team: the rule book moves no budgets, caps no bids
and never pauses a whole campaign; nobody but the watchdog reads the spend plan; and a desk avoids a creative
that is to be paused before the order comes.
"""
FAILED: Final = """\
One role fails from that interval on. Where an answer is none, is no action, is late, or is not new, the
team's stand-in takes over in the same interval and keeps the role to the flight's end; the others go on. A
role that begins anew is there, and goes on without what it knew. Both stuck and restarted roles show in the
count of answers that whoever runs a policy keeps (`answered`), as here and as a service does
(`serving/roles.py`); a role that begins anew there is told all it missed. Audience and bidding agents that
say the same for four intervals in which impressions were bought are suspected and left at work, whoever
counts; where nobody counts no other role is, and a restart goes unnoticed (`policies/roll_call.py`). The
watchdog is told, and alerts of a silent agent on every campaign; a failing monitor is told of by its
stand-in.
"""


def text(found: Mapping[str, Any]) -> str:
    """`docs/independence.md`."""
    rows = [(role, fault, one) for role, faults in found["faults"].items() for fault, one in faults.items()]
    missed = [f"{role}: {fault}" for role, fault, one in rows if not _met(one)]
    return "\n".join(
        [
            NOTE,
            "# Independence\n",
            INTRODUCTION,
            "## What each message is worth\n",
            f"`{found['team']}` on {found['markets']} {_split(found)} `{found['scenario']}` markets "
            f"(J {found['objective_usd']:,.0f} USD a market).\n",
            MUTED,
            markdown_table(
                ("message that nobody hears", "from", "J", "markets changed"),
                [
                    (name, one["from"], _percent(one["lift"]), f"{one['markets_changed']:.0%}")
                    for name, one in found["messages"].items()
                ],
            ),
            "## What becomes of a flight when a role fails\n",
            f"`{found['team']}` on {found['fault_markets']} {_split(found)} markets; the fault strikes in "
            f"interval {found['fault_interval']} of {found['intervals']}. The bar is J of the all-scripted "
            f"team of stand-ins (`{found['stand_in_team']}`, "
            f"{found['stand_in_objective_usd']:,.0f} USD a market) − {ALLOWED_LOSS:.0%}.\n",
            FAILED,
            markdown_table(("fault", "the role"), [(name, f.description) for name, f in FAULTS.items()]),
            _table(rows),
            f"{len(rows) - len(missed)} of {len(rows)} meet the bar. "
            + (f"Missed: {'; '.join(missed)}.\n" if missed else "\n"),
            *_of_attribution(found["attribution"]),
            f"Written by `python -m evaluation.independence docs --team {found['team']} --markets "
            f"{found['markets']} --fault-markets {found['fault_markets']}`.\n",
        ]
    )


def _of_attribution(found: Mapping[str, Any]) -> list[str]:
    rows = [("attribution", fault, one) for fault, one in found["faults"].items()]
    return [
        "### The sixth role\n",
        f"{found['markets']} held-out `{found['scenario']}` markets; attribution by `{found['model']}` fails "
        f"in interval {found['fault_interval']} of {found['intervals']}, and `{found['stand_in']}` stands "
        f"in. The bar is J of the team with `{found['stand_in']}` from the start − {ALLOWED_LOSS:.0%}. "
        "Credit stays the same for days: only a count of answers tells of one that is stuck.\n",
        _table(rows),
    ]


def _table(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> str:
    """How flights went by role and fault."""
    return markdown_table(
        (
            "role",
            "fault",
            "noticed after, intervals",
            "watchdog says so after",
            "stand-in after",
            "spend ≤ budget, ledger balances",
            "J over the stand-in team",
            "J over the whole team",
            "bar",
        ),
        [
            (
                role,
                fault,
                _delay(one, "notice"),
                _delay(one, "alert"),
                _delay(one, "stand_in") if one["stood_in_for"] else "– (it is there)",
                "yes" if one["within_budget"] and one["ledger_balances"] else "NO",
                _percent(one["over_stand_in_team"]),
                _percent(one["over_whole_team"]),
                "met" if _met(one) else "missed",
            )
            for role, fault, one in rows
        ],
    )


def _met(one: Mapping[str, Any]) -> bool:
    """Whether a fault was survived: money kept, stood in for where it must, J as high as stand-ins'."""
    stood_in = not one["stood_in_for"] or one["intervals_to_stand_in"] in (0, 1)
    kept = one["ledger_balances"] and one["within_budget"]
    return bool(stood_in and kept and one["over_stand_in_team"][0] >= -ALLOWED_LOSS)


def _delay(one: Mapping[str, Any], to: str) -> str:
    found = one[f"intervals_to_{to}"]
    return "never" if found is None else str(found)


def _split(found: Mapping[str, Any]) -> str:
    return str(found["split"]).replace("_", "-")


def _percent(values: Sequence[float]) -> str:
    share, low, high = values
    return f"{share:+.1%} [{low:+.1%}, {high:+.1%}]"


def main(arguments: Sequence[str]) -> int:
    """Measures and writes both files."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.independence", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markets", type=int, default=256, help="for the table of messages")
    parser.add_argument("--fault-markets", type=int, default=128, help="for the table of faults")
    parser.add_argument("--team", default=TEAM, help="a scripted team")
    parser.add_argument("--workers", type=int, default=1, help="processes that play; no figure depends on it")
    chosen = parser.parse_args(arguments)
    if not chosen.folder.is_dir():
        print(f"{chosen.folder} is no folder", file=sys.stderr)
        return 2
    found = measure(chosen.markets, min(chosen.markets, chosen.fault_markets), chosen.workers, chosen.team)
    write_json(chosen.folder / "independence.json", found)
    write_text_atomically(chosen.folder / "independence.md", text(found))
    return 0
