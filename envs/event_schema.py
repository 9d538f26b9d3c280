"""The tables of an event log (Parquet): one list, from which schemas, documentation and tests are made."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from envs import catalogue as cat
from envs.seeds import SPLITS

Kind = Literal["market", "count", "number", "usd", "flag", "word", "text", "numbers"]
STORED_AS: Final[dict[Kind, str]] = {
    "market": "int32",
    "count": "int32",
    "number": "float64",
    "usd": "float64",
    "flag": "bool",
    "word": "dictionary<string>",
    "text": "string",
    "numbers": "list<float64>",
}
STATUSES: Final = ("lost", "served", "unheard")
"""In the order of LOST, SERVED, UNHEARD of `envs.bids`."""
TRUTH: Final = "truth_"
"""Prefix of columns that hold what only a simulator knows."""


class Column(NamedTuple):
    """One column of a table."""

    name: str
    kind: Kind
    meaning: str
    words: tuple[str, ...] = ()
    """What a `word` may be."""

    @property
    def truth(self) -> bool:
        """Whether only a simulator can know it."""
        return self.name.startswith(TRUTH)


class Table(NamedTuple):
    """One table: what a row is, and its columns."""

    row: str
    columns: tuple[Column, ...]


_MARKET = Column("market", "market", "its place in the run's sequence of markets, from 0")
_INTERVAL = Column("interval", "count", "of the flight, from 0")
_CAMPAIGN = Column("campaign", "count", "of its market, from 0")
_SEGMENT = Column("segment", "word", "of the listener", cat.SEGMENTS)
_PLACEMENT = Column("placement", "word", "", cat.PLACEMENTS)
CREATIVE: Final = (
    Column("format", "word", "", cat.FORMATS),
    Column("script", "word", "", cat.SCRIPTS),
    Column("length", "word", "", cat.LENGTHS),
    Column("call_to_action", "word", "", cat.CALLS_TO_ACTION),
)
_AT = (_MARKET, _INTERVAL, _CAMPAIGN)
_UNTRACKED = "null where a tracking outage hides it"
_LOG_PROPENSITY = Column(
    "log_propensity",
    "number",
    "natural log of the probability with which the policy chose so; 0 = it could not have chosen otherwise; "
    "null = it is random and cannot say (Thompson sampling)",
)

TABLES: Final[dict[str, Table]] = {
    "markets": Table(
        "a market",
        (
            _MARKET,
            Column("truth_seed", "text", "decimal digits of its 64 bits: everything hidden follows from it"),
            Column("split", "word", "", SPLITS),
            Column("scenario", "text", "name"),
            Column("scenario_json", "text", "the whole scenario: prices, pricing rule, caps, values"),
        ),
    ),
    "bids": Table(
        "a bid of ours for an impression opportunity, in order of interval, market and arrival",
        (
            *_AT,
            Column("opportunity", "count", "number within its market and interval, in order of arrival"),
            Column("listener", "count", "of its market"),
            _SEGMENT,
            _PLACEMENT,
            Column("screen_visible", "flag", "the screen is in view"),
            *CREATIVE,
            Column("quality", "number", "factor of the opportunity's value, seen by every bidder"),
            Column("predicted", "number", "predicted affinity × quality"),
            Column("wish_usd", "usd", "the bid before it was cut to what budget and daily cap left"),
            Column("bid_usd", "usd", "for one simulated opportunity (impression_weight real impressions)"),
            Column(
                "status", "word", "unheard = won, but the listener left the pod before: not billed", STATUSES
            ),
            Column("slot", "count", "of the pod; null where lost"),
            Column(
                "price_to_beat_usd",
                "usd",
                "what would just have won against the other bids; null beyond the price table: unwinnable",
            ),
            Column("paid_usd", "usd", "0 where not served"),
            Column("completions", "count", f"of the impression_weight impressions; {_UNTRACKED}"),
            Column("skips", "count", ""),
            Column("dislikes", "count", ""),
            Column("clicks", "count", f"invalid ones too; {_UNTRACKED}"),
            Column(
                "truth_valid", "flag", "somebody attended: neither invalid traffic nor out of sight or mute"
            ),
            Column("truth_response", "number", "engagement z; 0 where nobody attended"),
            Column("truth_completions", "count", "whether tracked or not"),
            Column("truth_clicks", "count", "whether tracked or not"),
            Column("truth_conversions", "count", "caused, to be reported later"),
        ),
    ),
    "cells": Table(
        "a campaign's interval on a segment and placement: the ledger, simulated opportunities",
        (
            *_AT,
            _SEGMENT,
            _PLACEMENT,
            Column("opportunities", "count", "of anybody"),
            Column("bids", "count", ""),
            Column("wins", "count", "served"),
            Column("bid_usd", "usd", "sum of bids"),
            Column("won_bid_usd", "usd", "sum of the bids that won"),
            Column("spend_usd", "usd", ""),
            Column("price_to_beat_usd", "usd", "sum over the priced"),
            Column("priced", "count", "opportunities with a price inside the table"),
            Column("predicted_won", "number", "sum over wins of predicted"),
            Column("completions", "count", _UNTRACKED),
            Column("skips", "count", ""),
            Column("dislikes", "count", ""),
            Column("clicks", "count", _UNTRACKED),
            Column("truth_completions", "count", "whether tracked or not"),
            Column("truth_clicks", "count", "whether tracked or not"),
            Column("truth_wasted_usd", "usd", "paid for impressions that could bring nothing"),
            Column("truth_affinity_won", "number", "sum over wins of true affinity"),
        ),
    ),
    "segments": Table(
        "a campaign's interval on a segment",
        (
            *_AT,
            _SEGMENT,
            *CREATIVE,
            Column("conversions", "count", "reported"),
            Column("conversions_settled", "count", "in the last interval: those still pending"),
            Column("truth_conversions_caused", "count", ""),
            Column("truth_recall", "number", "mean over listeners at the interval's end"),
            Column("fatigue", "number", "mean log response lost to repetition, by the platform's model"),
        ),
    ),
    "accounts": Table(
        "a campaign's interval",
        (
            *_AT,
            Column("budget_usd", "usd", "as directives have re-split it"),
            Column("left_before_usd", "usd", "of the budget, after directives and before the first auction"),
            Column("spend_usd", "usd", ""),
            Column("left_usd", "usd", "of the budget, at the interval's end"),
        ),
    ),
    "creative_decisions": Table(
        "what a creative agent chose for a segment; it airs from the next interval on",
        (
            *_AT,
            _SEGMENT,
            *CREATIVE,
            Column("trafficked_format", "word", "audio where video was not granted", cat.FORMATS),
            _LOG_PROPENSITY,
        ),
    ),
    "bidding_decisions": Table(
        "what a bidding agent chose; it acts at once",
        (
            *_AT,
            Column(
                "log_multipliers",
                "numbers",
                f"global, then {', '.join(cat.PLACEMENTS)}, then {', '.join(cat.SEGMENTS)}",
            ),
            _LOG_PROPENSITY._replace(
                meaning="natural log of the density with which the policy drew its action, in its own "
                "coordinates; 0 and null as for creatives"
            ),
        ),
    ),
    "messages": Table(
        "a field of a message on the board, as delivered after the interval",
        (
            _MARKET,
            _INTERVAL,
            Column("sender", "text", "agent"),
            Column("message", "text", "see docs/protocol.md"),
            Column("field", "text", ""),
            Column("value", "numbers", "row by row"),
        ),
    ),
    "incidents": Table(
        "an incident that strikes a market: hidden from agents, what monitors are scored against",
        (
            _MARKET,
            Column("truth_kind", "word", "", cat.INCIDENT_KINDS),
            Column("truth_start_interval", "count", ""),
            Column("truth_intervals", "count", "how many it lasts"),
            Column("truth_placement", "word", "where it strikes one placement", cat.PLACEMENTS),
            Column("truth_campaign", "count", "where it strikes one campaign"),
            Column(
                "truth_segment",
                "word",
                "where it strikes one creative of that campaign: what airs there as it begins",
                cat.SEGMENTS,
            ),
        ),
    ),
}
"""Every table of a log by name."""

_EXAMPLES: Final = """\
## Reading

```python
from pathlib import Path

import pyarrow.dataset as ds
from envs.event_log import read_table

bids = read_table("LOG", "bids", run="pid")  # a pyarrow table
bids = ds.dataset(sorted(map(str, Path("LOG").glob("run=*/part=*/bids.parquet"))), partitioning="hive")
```

```sql
-- DuckDB
SELECT run, campaign, sum(paid_usd) FROM read_parquet('LOG/run=*/part=*/bids.parquet', hive_partitioning=true)
GROUP BY ALL;
```

## Off-policy evaluation

A creative decision of interval t is on air in t + 1. The inverse-propensity estimate of another policy π is
the mean over decisions of π(choice) / exp(log_propensity) × what `cells` or `bids` of t + 1 brought for the
same market, campaign and segment. Rows without a propensity have to be left out with their whole run.
Learned policies give propensities under `--sample`; without it they are deterministic. Where a team's role
fails, its stand-in's choice and propensity are logged.
"""


def event_log_text() -> str:
    """`docs/event_log.md`, below the note that code wrote it."""
    parts = [
        "# Event log\n",
        "`interlude evaluate TEAM --event-log LOG` (or `envs.event_log.EventLog`) writes a run a team:\n",
        "```\nLOG/run=<team>/part=<first market>/<table>.parquet\n```\n",
        "A run's name is percent-encoded where it has to be. A part holds some markets' whole flights; its "
        "folder appears when they have ended, all tables at once, or never. "
        f"Columns named `{TRUTH}…`, and all of `incidents`, are what only a simulator knows: nothing that is "
        "to work outside may learn from them. Money is USD; a simulated opportunity stands for "
        "`impression_weight` real ones, and completions, skips, dislikes, clicks and conversions count "
        "those.\n",
        "The log reconciles with the ledger: `bids` summed by cell are `cells`, and their payments "
        "`accounts.spend_usd` = `left_before_usd` − `left_usd`.\n",
    ]
    for name, table in TABLES.items():
        parts += [f"## {name}\n", f"A row is {table.row}.\n"]
        rows = [
            f"| `{column.name}` | {STORED_AS[column.kind]} | {'yes' if column.truth else ''} "
            f"| {'; '.join(filter(None, (column.meaning, ', '.join(column.words))))} |"
            for column in table.columns
        ]
        parts.append(
            "\n".join(["| column | type | truth | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"
        )
    return "\n".join([*parts, _EXAMPLES])
