"""Orchestrators compared, and why one said what it said.

`python -m evaluation.orchestrators docs [--critic RUN] [--markets N]` plays one team under each orchestrator
and writes `orchestrators.md`; `python -m evaluation.orchestrators audit TEAM [--scenario NAME] [--market N]`
prints every decision of one flight's orchestrator with its reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from envs.errors import InterludeError
from envs.output import write_text_atomically
from envs.scenario import load_scenario
from envs.state import Float
from evaluation.intervals import over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.reference import markdown_table
from evaluation.rollout import Course, TeamResult, opened, play
from evaluation.sources import BY_CRITIC, REFERENCE, TeamSource

DOCUMENT: Final = "orchestrators.md"
NOTE: Final = (
    "<!-- written by `python -m evaluation.orchestrators docs`: change the code, not this file -->\n"
)
BASE: Final = "certainty-equivalent"
SCENARIO: Final = "four-tight-budgets"
RULE_BOOK: Final = "rule-book"
EQUAL_MARGINS: Final = "equal-margins"
ARBITRATING: Final = "arbitrating"
ARBITRATED: Final = ("default", "overspend-fault", "invalid-traffic")
"""Scenarios on which arbitration is compared with the margins that it stands on."""
WASTED: Final = "spend/wasted_fraction"
WORST: Final = "fairness/worst_objective_per_budget"
DESCRIBED: Final = {
    "none": "video by turns; no advice is followed, no money moved",
    "rotation": "video by turns; the monitor's advice is followed",
    RULE_BOOK: "video to the highest claim; advice is followed",
    EQUAL_MARGINS: "the rule book, and budgets by bids' margins",
    ARBITRATING: "equal margins, spending by placement, and caution where money runs away",
}
BY_VALUE: Final = "budgets by bids' margins and by the critic"
BY_NETWORK: Final = "learned: equal margins, and budgets and claims by a network"
INTRODUCTION: Final = """\
An orchestrator grants video, follows the monitor's advice or not, and may move budgets between campaigns.
All here drive the same team, and can take the place of any other's: `interlude evaluate
TEAM+orchestrator=none`, `=rotation`, `=rule-book`, `=equal-margins`, `=arbitrating` or `=critic:RUN`, RUN
being a run directory, a bundle or `reference`, or `=RUN` where the run's orchestrator was learned.

`equal-margins` is the rule book, and every two intervals splits the money that is left by the marginal
prices that bidding agents tell: where budgets bind, another dollar brings the inverse. `critic:RUN` adds
what another dollar is worth to each campaign in the eyes of the run's critic: the difference of its values
with 10 % more and 10 % less of the campaign's money in its inputs. Weights go with a root of that worth over
the mean (the square root; the fourth with the critic), are smoothed, and stay within 0.5 and 2, as does
(nearly) a campaign's whole budget against its first. Beliefs stay as they are. A run with `orchestrator:
critic` in its configuration, as `quick` and `default` have it, is directed by its own critic.

A learned one departs from equal margins by two numbers a campaign, in every interval: one on the weight of
what it has left, within the same bounds, one on its claims of video. They come from a network that sees what
the observable critic sees, trained by the same PPO on the team's whole reward: `interlude train --config
orchestrator`, or `learned_roles` with `orchestrator` among them in any configuration. A run or its bundle is
taken by `=RUN`.
"""
ARBITRATION: Final = """\
`arbitrating` stands on equal margins and uses the directive's other two levers. **Split over placements:**
completions of all campaigns against those that briefs foretell, by placement, over about ten intervals and
drawn to the mean by 300; a placement that brings less is throttled by the root of it, and pacing spends the
money elsewhere. **Caution:** bidding agents tell their mean bid. Where a campaign spends more than 1.6 times
what that bid usually spends on so many opportunities, its bids are throttled by the excess (to a third at
most) and none may be higher than three times the mean told (`aggression_cap`), until spending is as told. The
watchdog's advice holds beside it: the lower factor counts.
"""
IN_TRIALS: Final = """\
It is the default of no team, for it earns nothing sure and may cost: the table is of held-out markets. In
trials on development markets (DECISIONS.md has the figures) no rule found anything to win by a split over
placements: desks already bid by value on every placement, and no response is hidden by placement but that
of robots; even throttles by which a desk's bids on placements become those of an oracle's desk gained
nothing. Of caution, throttling an overrun was the one form that seemed to pay, which held-out markets do
not bear out. Caps cost, and more as they are tighter (near the mean bid: at the start, ahead of plan, or
where the watchdog has only told of something); at three times the mean they did no harm. Holding back where
the watchdog doubts but does not advise cost too: it then sees no more whether a fault is over.
"""
LIMITS: Final = """\
The market keeps these itself, whatever any role says (`tests/test_envs_hard_limits.py` tries random actions):

| limit | where it is set | kept by |
| --- | --- | --- |
| no campaign spends more than its budget; a split makes no money | budgets | `envs/opportunities.py` |
| nor more in a day than its share of the first budget | `daily_cap_fraction` | `envs/opportunities.py` |
| no listener is served by a campaign more often in a day | `listeners.daily_frequency_cap` | `envs/bids.py` |
| no bid while paused, nor where throttled to 0 | directive in force | `envs/controls.py` |
| no video without a grant: audio airs instead | directive in force | `envs/controls.py` |

The incidents `overspend_fault` and `frequency_breach` are faults of the platform: bids are tripled (budgets
still hold), and what was served once is heard several times.
"""
TRADED: Final = """\
Moving budgets brings more in all and is paid for by the campaign that does worst: its money goes to others.
Where each campaign is another advertiser's, whose budget is nobody else's to spend, take the rule book.
"""
REASONS: Final = """\
The rule book, `equal-margins`, `arbitrating` and `critic:RUN` say why (`reasons(market)`, after `act`), a
line a decision:

```bash
python -m evaluation.orchestrators audit certainty-equivalent+orchestrator=arbitrating --market 0
```
"""


def compared(orchestrators: Sequence[str], course: Course) -> dict[str, TeamResult]:
    """What the same team does under each orchestrator."""
    return {one: play(TeamSource(f"{BASE}+orchestrator={one}")(), course) for one in orchestrators}


def text(
    results: dict[str, TeamResult],
    course: Course,
    command: str,
    arbitrated: Mapping[str, dict[str, TeamResult]],
) -> str:
    """`docs/orchestrators.md`; `arbitrated` has the results on other scenarios, by name."""
    rows = []
    base = results[RULE_BOOK].metrics
    for name, result in results.items():
        found, own = result.metrics, name == RULE_BOOK
        difference = over_markets(found[WORST], base[WORST], relative=False)
        lift = over_markets(found[OBJECTIVE], base[OBJECTIVE])
        rows.append(
            (
                f"`{Path(name).name}`",
                DESCRIBED.get(name, BY_VALUE if name.startswith(BY_CRITIC) else BY_NETWORK),
                f"{found[OBJECTIVE].mean():,.0f}",
                "–" if own else f"{lift.estimate:+.1%} [{lift.low:+.1%}, {lift.high:+.1%}]",
                f"{found[WORST].mean():.2f}",
                "–" if own else f"{difference.estimate:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]",
            )
        )
    split = next((result.metrics for name, result in results.items() if name.startswith(BY_CRITIC)), None)
    failed = sorted({i.role for result in results.values() for i in result.incapacities})
    return "\n".join(
        [
            NOTE,
            "# Orchestrators\n",
            INTRODUCTION,
            f"`{BASE}` on {course.num_markets} held-out `{course.scenario.name}` markets, in pairs on the "
            "same markets; brackets are 95 % intervals. The worst campaign is the one with the least J per "
            "dollar of its first budget.\n",
            markdown_table(
                (
                    "orchestrator",
                    "what it does",
                    "J, USD a market",
                    "J over the rule book",
                    "worst campaign",
                    "over the rule book",
                ),
                rows,
            ),
            *([TRADED] if split is not None and _traded(split, base) else []),
            "## Placements and caps\n",
            ARBITRATION,
            _arbitration({course.scenario.name: results, **arbitrated}),
            IN_TRIALS,
            *([f"Roles that failed and were stood in for: {', '.join(failed)}.\n"] if failed else []),
            f"Written by `{command}`.\n",
            "## What none of them can break\n",
            LIMITS,
            "## Why it said so\n",
            REASONS,
        ]
    )


def _arbitration(by_scenario: Mapping[str, dict[str, TeamResult]]) -> str:
    """What arbitration is worth over equal margins, and how much of what is spent is wasted."""
    rows = []
    for scenario, results in by_scenario.items():
        with_it, without = (results[name].metrics for name in (ARBITRATING, EQUAL_MARGINS))
        lift = over_markets(with_it[OBJECTIVE], without[OBJECTIVE])
        wasted = over_markets(with_it[WASTED], without[WASTED], relative=False)
        rows.append(
            (
                f"`{scenario}`",
                f"{without[OBJECTIVE].mean():,.0f}",
                f"{with_it[OBJECTIVE].mean():,.0f}",
                f"{lift.estimate:+.2%} [{lift.low:+.2%}, {lift.high:+.2%}]",
                f"{wasted.estimate:+.2%} [{wasted.low:+.2%}, {wasted.high:+.2%}]",
            )
        )
    header = ("scenario", "equal margins, USD", "arbitrating, USD", "J over equal margins", "spend wasted")
    return markdown_table(header, rows)


def _traded(split: Mapping[str, Float], base: Mapping[str, Float]) -> bool:
    """Whether moving budgets gains in all and costs the worst campaign, beyond chance."""
    gained = over_markets(split[OBJECTIVE], base[OBJECTIVE])
    lost = over_markets(split[WORST], base[WORST], relative=False)
    return gained.low > 0.0 and lost.high < 0.0


def audit(team_argument: str, scenario: str, market_number: int) -> list[str]:
    """Every decision of the orchestrator in one held-out flight, with its reason.

    Raises:
        InterludeError: the team's orchestrator gives no reasons.
    """
    team = TeamSource(team_argument)()
    orchestrator = team.policies["orchestrator"]
    if not hasattr(orchestrator, "reasons"):
        raise InterludeError(f"the orchestrator {orchestrator.name!r} gives no reasons")
    course = Course(load_scenario(scenario), "held_out", num_markets=1, first_market=market_number)
    market, observations = opened(team, course, market_number, 1)
    lines: list[str] = []
    before: list[str] = []
    for interval in range(course.scenario.intervals):
        actions = team.act(observations, market.impressions)
        reasons = orchestrator.reasons(0)
        lines += [f"{interval:3d}  {reason}" for reason in reasons if reason not in before]
        before, observations = reasons, market.step(actions).observations
    return lines


def main(arguments: Sequence[str]) -> int:
    """Compares, or tells reasons."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.orchestrators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    docs = commands.add_parser("docs", help="compare, and write orchestrators.md into a folder")
    docs.add_argument("folder", type=Path, nargs="?", default=Path("docs"))
    docs.add_argument("--critic", default=REFERENCE, help="run, bundle or `reference`")
    docs.add_argument("--learned", default="", help="run or bundle whose orchestrator was learned")
    docs.add_argument("--markets", type=int, default=256)
    reasons = commands.add_parser("audit", help="every decision of one flight with its reason")
    reasons.add_argument("team")
    reasons.add_argument("--scenario", default=SCENARIO)
    reasons.add_argument("--market", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.command == "audit":
        print("\n".join(audit(asked.team, asked.scenario, asked.market)))
        return 0
    if not asked.folder.is_dir():
        parser.error(f"{asked.folder} is not a folder")
    course = Course(load_scenario(SCENARIO), "held_out", num_markets=asked.markets)
    learned = [asked.learned] if asked.learned else []
    results = compared([*DESCRIBED, f"{BY_CRITIC}{asked.critic}", *learned], course)
    arbitrated = {
        name: compared(
            [EQUAL_MARGINS, ARBITRATING],
            Course(load_scenario(name), "held_out", num_markets=asked.markets),
        )
        for name in ARBITRATED
    }
    settings = f"--critic {Path(asked.critic).name}"
    settings += "".join(f" --learned {Path(run).name}" for run in learned) + f" --markets {asked.markets}"
    command = f"python -m evaluation.orchestrators docs {settings}"
    write_text_atomically(asked.folder / DOCUMENT, text(results, course, command, arbitrated))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
