"""The report on attribution: `python -m evaluation.attribution docs [--markets N] [--worth-markets N]`.

It writes `attribution.md`, `attribution.json` and `attribution.png` into the folder named; with `--learned
RUN` it measures a run instead and adds it to what stands there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.output import write_bytes_atomically, write_json, write_text_atomically
from envs.protocol import ATTRIBUTION
from envs.scenario import Scenario, load_scenario
from envs.state import Float
from evaluation.attribution import errors, learned, worth
from evaluation.attribution.credited import LEAST_TOUCHES, Credited, credited
from evaluation.attribution.figures import draw_calibration, draw_sankey, draw_shares
from evaluation.reference import markdown_table
from evaluation.report_figures import WIDTH
from evaluation.report_style import canvas, png
from evaluation.rollout import worker_pool
from policies.attribution.agent import HOLD_OUT, HOLD_OUT_DAYS, MEASURES, TRUTH
from policies.attribution.models import MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEAM: Final = "listener-aware"
SCENARIO: Final = "attribution"
BATCH: Final = 8
ENOUGH_MARKETS: Final = 16
DRAWN: Final = 4
"""Markets of the picture."""
SHARE_ERRORS: Final = {"share_error": "over all cells", "own_share_error": "over ours"}
NOTE: Final = "<!-- written by `python -m evaluation.attribution docs`: change the code, not this file -->\n"
INTRODUCTION: Final = """\
A sixth role, `attribution_0`, credits conversions to placement × format and tells the others. It is off
unless a team names it (`interlude evaluate listener-aware+attribution=shapley --scenario attribution`), and
works where the scenario has `journeys:` (`envs/journeys/`). Models stand in `policies/attribution/`. Desks
hear its message, networks see it where a training configuration says `attribution: MODEL` and
`networks: {credit: true}`, and a served team is told journeys by `POST /journeys` ([serving.md](serving.md)).
Brackets are 95 % intervals over markets, in pairs where teams are compared.

**The world.** People behind the listeners own a speaker, a phone and a desk. They meet our spots, and
search, social and retail media, which have rates, seasons and pulls of their own; a touch of ours opens the
funnel for the next, of whatever cell, and may bring about a search. A touch brings a conversion where its
uniform lies below its probability; it follows by the market's mixture of delays. People convert once, by
the first cause that acts. Some convert anyway, come in by a search and are more often in front of a screen
just before. Effects of placement × format on conversions are hidden and differ by campaign. **What is seen
of it**: journeys by device, linked to one person at the match rate; no touch of channels behind walls (they
report totals); no touch outside its window; a purchase in a shop only of a linked card.

**The truth.** The same random numbers with cells silenced: Shapley's shares over all coalitions of cells.
Auctions go as they went and listeners' health too: a silenced spot is one that somebody else's replaced.
"""
WHY_SEARCH: Final = (
    "All other models give search the conversions that come in by it and that it did not cause: most who buy "
    "anyway search first, so that a search stands nearest to the purchase, and a touch that is near is taken "
    "for a cause. Search cannot be held out, but our spots can, and who was not shown one tells how many "
    "searches after a spot would have come anyway; those convert as searches do that follow no spot. What is "
    "left, spots brought by way of search: half of it is search's by Shapley, for neither does it alone "
    "(`policies/attribution/demand.py`). The rest of search counts as demand, not as an effect, which is a "
    "little too hard on it: some searches of this world that follow no spot do cause a purchase."
)
WORLD_LIMITS: Final = """\
Conversions of this scenario are those of journeys and take the place of the market's own; its wear, fatigue
and annoyance do not act on journeys, and ghost ads tire listeners as if they had been shown. Rates of
organic conversions, searches and channels are chosen, not measured.
"""


def measure(markets: int, worth_markets: int, workers: int = 1) -> dict[str, Any]:
    """Everything that the report tells, as one object."""
    scenario = load_scenario(SCENARIO)
    starts = [(first, min(BATCH, markets - first)) for first in range(0, markets, BATCH)]
    flights = [(first, min(BATCH, worth_markets - first)) for first in range(0, worth_markets, BATCH)]
    jobs = [(TEAM, scenario, variant, *part) for variant in worth.VARIANTS for part in flights]
    with worker_pool(workers) as pool:
        each = map if pool is None else pool.map
        scored = errors.joined(list(each(errors.score_task, [(TEAM, scenario, *part) for part in starts])))
        played = list(each(worth.played, jobs))
    objective: dict[str, Float] = {}
    wasted: dict[str, Float] = {}
    for n, variant in enumerate(worth.VARIANTS):
        some = played[n * len(flights) : (n + 1) * len(flights)]
        objective[variant], wasted[variant] = (np.concatenate(column) for column in zip(*some, strict=True))
    return told(scenario, scored, objective, wasted)


def told(
    scenario: Scenario, scored: errors.Scored, objective: Mapping[str, Float], wasted: Mapping[str, Float]
) -> dict[str, Any]:
    """What was measured as one object: J and wasted spend [n] by variant."""
    rate = scenario.journeys.match_rate if scenario.journeys is not None else 0.0
    return {
        "team": TEAM,
        "scenario": scenario.name,
        "split": "held_out",
        "markets": len(scored.truth),
        "worth_markets": len(objective[worth.NOBODY]),
        "hold_out": HOLD_OUT,
        "hold_out_days": HOLD_OUT_DAYS,
        "match_rate": rate,
        "conversions_per_campaign": float(scored.total.mean()),
        "organic_share": float(scored.organic.sum() / scored.total.sum()),
        "alone_to_shapley": float(scored.alone.sum() / scored.truth.sum()),
        "errors": errors.table(scored),
        "against_incrementality": {
            figure: errors.beaten(scored, MEASURES[0], rate, figure) for figure in SHARE_ERRORS
        },
        "share_bias": errors.bias(scored, rate),
        "worth": worth.table(objective, wasted),
    }


def text(found: Mapping[str, Any]) -> str:
    """`docs/attribution.md`."""
    table, rows = found["errors"], found["worth"]["variants"]
    best = {
        figure: min(MODELS, key=lambda name: sign * table[name][f"{found['match_rate']:g}"][figure][0])
        for figure, sign in (("share_error", 1), ("own_share_error", 1), ("rate_rank", -1))
    }
    parts = [
        NOTE,
        "# Attribution\n",
        INTRODUCTION,
        f"![Credit against truth, calibration and paths of {DRAWN} markets](attribution.png)\n",
        "## Which model misleads, and by how much\n",
        f"`{found['team']}` on {found['markets']} held-out `{found['scenario']}` markets; "
        f"{found['conversions_per_campaign']:,.0f} conversions a campaign, {found['organic_share']:.0%} of "
        f"them organic. {found['hold_out']:.0%} of impressions are ghost ads through the flight, and nobody "
        "hears the credit: all models read the same journeys. Error: mean absolute error of cells' shares. "
        f"Cells met by fewer than {LEAST_TOUCHES} people's touches are left out. What is lost where one cell "
        f"at a time is silent adds up to {found['alone_to_shapley']:.2f} × what all brought together: cells "
        "help each other.\n",
        _few(found["markets"]),
    ]
    for rate in next(iter(table.values())):
        parts += [
            f"### Match rate {rate}\n",
            markdown_table(
                (
                    "model",
                    "error, ours and search",
                    "rank correlation",
                    "error, ours alone",
                    "rank correlation",
                    "rank correlation of conversions a touch",
                    "credited / true, ours",
                    "search",
                ),
                [
                    (
                        name,
                        *(
                            _interval(by_rate[rate][figure])
                            for figure in (
                                "share_error",
                                "rank",
                                "own_share_error",
                                "own_rank",
                                "rate_rank",
                                "level",
                                "search_level",
                            )
                        ),
                    )
                    for name, by_rate in table.items()
                ],
            ),
        ]
    off = found["against_incrementality"]
    told = " ".join(_sentence(off[figure], where) for figure, where in SHARE_ERRORS.items())
    parts += [
        f"At the scenario's match rate of {found['match_rate']:g}: least error over all cells "
        f"**{best['share_error']}**, over ours **{best['own_share_error']}**, best ranks of what a touch "
        f"brings **{best['rate_rank']}**. {told}\n\n{WHY_SEARCH}\n",
        "Where shares go wrong (mean credited less true share, match rate "
        f"{found['match_rate']:g}; our cells and search):\n",
        markdown_table(
            ("model", *(cell.replace("_", " ") for cell in _cells(found))),
            [
                (name, *(f"{bias[cell]:+.3f}" if cell in bias else "–" for cell in _cells(found)))
                for name, bias in found["share_bias"].items()
            ],
        ),
        "## What credit is worth\n",
        f"`{found['team']}` on {found['worth_markets']} held-out markets under each model: bids, creatives' "
        "choice and budgets follow the message, `none` is the team without the role. `truth` is told what "
        "silencing each cell would have cost so far (never in training or serving). "
        f"{', '.join(MEASURES)} holds out {found['hold_out']:.0%} of impressions in the first "
        f"{found['hold_out_days']:g} days; `{worth.MUTE}` does so too and says nothing.\n",
        _few(found["worth_markets"]),
        markdown_table(
            (
                "credit",
                "J, USD a market",
                "over `none`",
                "share of the true gain",
                "wasted, USD",
                "over `none`",
            ),
            [
                (
                    f"`{name}`",
                    f"{one['objective_usd']:,.0f}",
                    _percent(one["lift"]),
                    _interval(one["share_of_true_gain"])
                    if found["worth"]["true_gain_is_sure"] and name != worth.NOBODY
                    else "–",
                    f"{one['wasted_usd']:,.0f}",
                    _dollars(one["wasted_difference_usd"]),
                )
                for name, one in rows.items()
            ],
        ),
        _verdict(found),
        *_learned(found.get("learned")),
        "## Limits\n",
        WORLD_LIMITS,
        f"Written by `python -m evaluation.attribution docs --markets {found['markets']} --worth-markets "
        f"{found['worth_markets']}`.\n",
    ]
    return "\n".join(parts)


def _learned(found: Mapping[str, Any] | None) -> list[str]:
    """Nothing where no run was measured."""
    if found is None:
        return []
    scripted = f"{found['base_team']}+{ATTRIBUTION}={found['model']}"
    names = (f"learned on `{scripted}`", f"`{scripted}`", f"`{found['base_team']}`")
    lifts = (found["over_none"], found["scripted_over_none"], (0.0, 0.0, 0.0))
    rows = [
        (name, f"{objective:,.0f}", _percent(lift))
        for name, objective, lift in zip(names, found["objective_usd"], lifts, strict=True)
    ]
    sight = "networks see credit" if found["sees_credit"] else "only the desk hears credit"
    return [
        "## Learned roles\n",
        f"{' and '.join(found['learned_roles']).capitalize()}, learned in {found['iterations']} iterations "
        f"({found['market_steps']:,} market-steps, `configs/training/attribution.yaml`); {sight}. "
        f"{found['markets']} held-out markets, in pairs.\n",
        _few(found["markets"]),
        markdown_table(("team", "J, USD a market", "over the team without the role"), rows),
        f"Learned over scripted: {_percent(found['over_scripted'])}.\n",
    ]


def _few(markets: int) -> str:
    """A warning where intervals over so few markets mean little."""
    if markets >= ENOUGH_MARKETS:
        return ""
    return f"**{markets} markets are too few**: the figures are a first look, their intervals mean little.\n"


def _cells(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(cell for bias in found["share_bias"].values() for cell in bias))


def _sentence(off: Mapping[str, Sequence[float]], where: str) -> str:
    better = [name for name, (_, _, high) in off.items() if high < 0.0]
    worse = [name for name, (_, low, _) in off.items() if low > 0.0]
    told = f"{where.capitalize()} {MEASURES[0]} is surely better than "
    told += "all others" if len(worse) == len(off) else _listed(worse, off)
    return told + (f" and surely worse than {_listed(better, off)}." if better else ".")


def _listed(names: Sequence[str], of: Mapping[str, Any]) -> str:
    return "all" if len(names) == len(of) else ", ".join(names) or "none"


def _verdict(found: Mapping[str, Any]) -> str:
    """What the table says, in words that follow the figures."""
    rows = found["worth"]["variants"]
    best = max(MODELS, key=lambda name: rows[name]["objective_usd"])
    gain = _percent(rows[TRUTH]["lift"])
    told = f"true credit gains {gain}"
    if not found["worth"]["true_gain_is_sure"]:
        told = f"the gain of true credit is not sure ({gain}), so that no share of it is told"
    sure = [name for name in MODELS if rows[name]["lift"][1] > 0.0]
    over, under = (
        [name for name in MODELS if sign * rows[name]["over_truth"][bound] > 0.0]
        for sign, bound in ((1.0, 1), (-1.0, 2))
    )
    held, net = rows[worth.MUTE]["lift"], rows[MEASURES[0]]["lift"]
    return (
        f"Surely worth more than nobody's credit: {_listed(sure, MODELS)}. Best by its mean is {best} "
        f"({_percent(rows[best]['lift'])}; the best of {len(MODELS)}, so rather less elsewhere); {told}. "
        f"Against true credit, surely better: {_listed(over, MODELS)}; surely worse: "
        f"{_listed(under, MODELS)}. The hold-out alone costs {_percent((-held[0], -held[2], -held[1]))} "
        f"of J, and {MEASURES[0]} earns {_percent(net)} net of it.\n"
    )


def _interval(values: Sequence[float | None]) -> str:
    mean, low, high = values
    if mean is None or low is None or high is None:  # a resample in which there was nothing to share
        return "–" if mean is None else f"{mean:.3f}"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _percent(values: Sequence[float]) -> str:
    share, low, high = values
    return f"{share:+.1%} [{low:+.1%}, {high:+.1%}]"


def _dollars(values: Sequence[float]) -> str:
    mean, low, high = values
    return f"{mean:+,.0f} [{low:+,.0f}, {high:+,.0f}]"


def picture(model: str) -> bytes:
    """`docs/attribution.png`: one model's credit in a few markets."""
    market = errors.flown(TEAM, load_scenario(SCENARIO), "held_out", 0, DRAWN)
    assert market.journeys is not None
    found = credited(market.journeys, model)
    return png(lambda: _figure(found), dpi=80)


def _figure(found: Credited) -> Figure:
    figure = canvas(WIDTH, 8.6)
    halves: Any = figure.subfigures(2, 1)
    above, below = halves
    left, right = above.subplots(1, 2)
    draw_shares(left, found)
    draw_calibration(right, found)
    left.legend(fontsize=7)
    draw_sankey(below.subplots(), found.paths)
    return figure


def main(arguments: Sequence[str]) -> int:
    """Measures and writes the files."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.attribution", description=__doc__)
    parser.add_argument("folder", type=Path, help="where attribution.md, .json and .png go")
    parser.add_argument("--markets", type=int, default=32, help="for the table of errors")
    parser.add_argument("--worth-markets", type=int, default=64, help="for the table of worth")
    parser.add_argument("--workers", type=int, default=1, help="processes that play; no figure depends on it")
    parser.add_argument("--model", default=MEASURES[0], choices=list(MODELS), help="of the picture")
    parser.add_argument(
        "--learned", type=Path, metavar="RUN", help="measure this run on --worth-markets, and nothing else"
    )
    asked = parser.parse_args(arguments)
    if not asked.folder.is_dir():
        parser.error(f"{asked.folder} is not a folder")
    path = asked.folder / "attribution.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    if asked.learned is None:
        found = measure(asked.markets, asked.worth_markets, asked.workers)
        found |= {name: before[name] for name in ("learned",) if name in before}
        write_bytes_atomically(asked.folder / "attribution.png", picture(asked.model))
    else:
        found = before | {"learned": learned.measure(asked.learned, asked.worth_markets)}
    write_json(path, found)
    write_text_atomically(asked.folder / "attribution.md", text(found))
    return 0
