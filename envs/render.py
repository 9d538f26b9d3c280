"""A market to look at: what a viewer remembers of a flight, as text and as a picture.

`python -m envs.render docs/market.png` draws the picture of the README.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import (
    ADVICE,
    ALERT_KINDS,
    ARMS,
    FORMATS,
    INCIDENT_KINDS,
    INCIDENTS_ON_CAMPAIGNS,
    INCIDENTS_ON_CREATIVES,
    INCIDENTS_ON_PLACEMENTS,
    MAX_CAMPAIGNS,
    PLACEMENTS,
    SEGMENTS,
    VERTICALS,
    VIDEO,
    P,
    S,
    V,
    of_creative,
    on_placement,
)
from envs.market import Step, VectorMarket
from envs.protocol import Actions, Alert, Board, Directive, SegmentValue
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from envs.state import Float, Int
from envs.ticker import Bulletin, news

RENDER_MODES: Final = ("ansi", "rgb_array")
REMEMBERED: Final = 60


class Frame(NamedTuple):
    """What is kept of one interval."""

    objective_usd: float
    spent_fraction: Float  # [C] of the budget, so far
    completion_rate: Float  # [C] as tracked; NaN where nothing was won
    click_rate: Float  # [C] as tracked; NaN where nothing was won
    alert: Int  # [C, P] kind of the alert posted in it
    let: Float  # [C, P] factor on bids that was in force, 0 = paused
    off_air: Int  # [C, V] 1 = the creative could not air


class Viewer:
    """Watches one market of a batch, interval by interval; it shows the truth, not what agents see."""

    def __init__(self, market: VectorMarket, index: int = 0) -> None:
        """Watches market `index` of the batch."""
        self.market, self.index = market, index
        self.reset()

    def reset(self) -> None:
        """A new flight begins."""
        self.frames: list[Frame] = []
        self.bulletins: deque[tuple[int, Bulletin]] = deque(maxlen=REMEMBERED)
        self._board: Board | None = self.market.board if self.market.interval >= 0 else None

    def watch(self, step: Step) -> None:
        """Remembers the interval that was just played."""
        market, b = self.market, self.index
        spent = market.feed.spend_usd[b] / np.maximum(1e-9, market.feed.budget_usd[b])
        self.frames.append(self._frame(step, spent))
        if self._board is not None:
            fresh = news(self._board, market.board, b, market.num_campaigns)
            self.bulletins.extend((market.interval, bulletin) for bulletin in fresh)
        self._board = market.board

    def _frame(self, step: Step, spent: Float) -> Frame:
        market, b, out = self.market, self.index, step.outcome
        campaigns = market.num_campaigns
        wins = out.wins[b].sum((1, 2)) * market.scenario.impression_weight  # [C]
        completed, clicked = (
            np.where(wins > 0, (counts[b] * out.tracked[b]).sum((1, 2)) / np.maximum(1.0, wins), np.nan)
            for counts in (out.completions, out.clicks)
        )
        let, off_air = np.ones((campaigns, P)), np.zeros((campaigns, V), np.int64)
        if self._board is not None:
            off_air = self._board.creative_pause.script[b, :campaigns]
            order = self._board.directive
            let = order.throttle[b, :campaigns] * (1 - order.pause[b, :campaigns, None])
        return Frame(
            float(step.rewards.team[b]),
            spent,
            completed,
            clicked,
            market.board.alert.kind[b, :campaigns],
            let,
            off_air,
        )

    @property
    def objective_usd(self) -> float:
        """The flight's objective so far."""
        return sum(frame.objective_usd for frame in self.frames)

    def campaign_name(self, c: int) -> str:
        """Number and vertical."""
        return f"campaign {c} ({VERTICALS[int(self.market.brief.vertical[self.index, c])]})"

    def clock(self) -> str:
        """Where in the flight the market is."""
        scenario, t = self.market.scenario, self.market.interval
        day, part = divmod(t, scenario.intervals_per_day)
        hour = 24.0 * part / scenario.intervals_per_day
        time = f"{int(hour):02d}:{int(60 * (hour % 1)):02d}"
        return f"day {day + 1}, {time}, interval {t} of {scenario.intervals}"

    def incidents(self) -> list[tuple[str, int, int]]:
        """True incidents that have begun: what and where, first interval, end."""
        m, b, found = self.market.parameters, self.index, []
        for slot, kind in enumerate(m.incident_kind[b]):
            name = INCIDENT_KINDS[int(kind)]
            if name == "none" or m.incident_start[b, slot] >= self.market.interval:
                continue
            if name in INCIDENTS_ON_PLACEMENTS:
                where = " " + on_placement(PLACEMENTS[int(m.incident_placement[b, slot])])
            elif name in INCIDENTS_ON_CREATIVES:
                script = int(self.market.market_state.struck_script[b, slot])
                where = f" in {of_creative(int(m.incident_campaign[b, slot]), script)}"
            elif name in INCIDENTS_ON_CAMPAIGNS:
                where = f" of campaign {int(m.incident_campaign[b, slot])}"
            else:
                where = ""
            start = int(m.incident_start[b, slot])
            end = min(start + int(m.incident_length[b, slot]), self.market.scenario.intervals)
            found.append(((name + where).replace("_", " "), start, end))
        return found

    def ansi(self) -> str:
        """The market as text: campaigns, what was won where, messages, incidents."""
        market, b, out = self.market, self.index, self.market.outcome
        health = market.market_state.health[b].mean()
        lines = [
            f"ad_market_v0 | {market.scenario.name} | market {int(market.seeds[b])} | {self.clock()}",
            f"objective {self.objective_usd:,.1f} USD | listener health {health:.1%}",
            "",
            f"{'':28}{'budget USD':>11}{'left':>6}{'pacing':>8}{'won':>6}{'USD':>9}   "
            f"on air: {', '.join(SEGMENTS)}",
        ]
        pacing, formats = market.pacing_error()[b], self.on_air()
        for c in range(market.num_campaigns):
            left = market.market_state.budget_left_usd[b, c] / max(1e-9, market.feed.budget_usd[b, c])
            won = 0 if out is None else int(out.wins[b, c].sum())
            spend = 0.0 if out is None else out.spend_usd[b, c].sum()
            lines.append(
                f"{self.campaign_name(c):28}{market.feed.budget_usd[b, c]:11,.1f}{left:6.0%}{pacing[c]:+8.0%}"
                f"{won:6d}{spend:9.2f}   {', '.join(formats[c])}"
            )
        if out is not None:
            lines += ["", f"{'spend USD / win rate':28}" + "".join(f"{name:>18}" for name in PLACEMENTS)]
            rate = out.wins[b] / np.maximum(1.0, out.opportunities[b])
            for c in range(market.num_campaigns):
                for s, segment in enumerate(SEGMENTS):
                    cells = (f"{out.spend_usd[b, c, s, p]:9.2f} / {rate[c, s, p]:6.1%}" for p in range(P))
                    lines.append(f"{f'campaign {c}' if s == 0 else '':14}{segment:14}" + "".join(cells))
        if self.frames:
            lines += self._held()
        lines += ["", "messages"]
        lines += [f"  {t:4d}  {told.sender:15} {told.text}" for t, told in list(self.bulletins)[-8:]]
        lines += [f"incident (hidden from agents): {what}, {t0} to {t1}" for what, t0, t1 in self.incidents()]
        return "\n".join(lines)

    def _held(self) -> list[str]:
        """What the orchestrator held back in the last interval."""
        let = self.frames[-1].let
        hidden = [f"{of_creative(int(c), int(v))}: off air" for c, v in np.argwhere(self.frames[-1].off_air)]
        return hidden + [
            f"campaign {c} {on_placement(PLACEMENTS[p])}: "
            + ("paused" if let[c, p] == 0 else f"bids throttled to {let[c, p]:.0%}")
            for c, p in np.argwhere(let < 1.0)
        ]

    def on_air(self) -> list[list[str]]:
        """Format on air by campaign and segment."""
        formats = ARMS[self.market.market_state.on_air[self.index], 0]
        return [[FORMATS[int(f)] for f in row] for row in formats]

    def rgb_array(self) -> NDArray[np.uint8]:
        """The market as a picture [H, W, 3]."""
        from envs.picture import draw  # matplotlib is slow to load, and only pictures need it

        return draw(self)


def demonstration_actions(market: VectorMarket) -> Actions:
    """A simple team that can be seen to talk.

    Day by day audience learns one campaign more; its best segment is granted video, the creative agent
    moves there, and budget and bids follow.
    """
    b, c = market.num_markets, market.num_campaigns
    t, board, day = market.interval, market.board, market.scenario.intervals_per_day
    known = np.arange(c) <= t // day
    affinity = np.ones((b, MAX_CAMPAIGNS, S))
    affinity[:, :c] = np.where(known[:, None], np.clip(market.parameters.affinity_hint, 0.0, 10.0), 1.0)
    heard = board.segment_value.affinity[:, :c]
    wanted = (heard > 1.05) & (heard == heard.max(2, keepdims=True))
    grant = np.where(wanted.any(1), c - wanted[:, ::-1].argmax(1), 0)
    granted = market.premium_granted(board.directive)
    creative = np.zeros((b, c, S, 4), np.int64)
    creative[..., 0] = np.where(granted, VIDEO, np.where(np.arange(S) == 2, 2, 0))
    creative[..., 1] = (np.arange(S) + t // 6 + np.arange(c)[:, None]) % 3
    bidding = np.zeros((b, c, 1 + P + S))
    bidding[..., 0] = np.clip(np.log(0.7) - 3.0 * market.pacing_error(), -4.0, 4.0)
    bidding[..., 1 + P :] = np.where(granted, 0.4, 0.0)
    ahead = np.broadcast_to(market.pacing_error()[:, :, None] > 0.12, (b, c, P))
    alert = Alert(*(np.zeros((b, MAX_CAMPAIGNS, P), np.int64) for _ in range(3)))
    for field, told in zip(alert, (ADVICE.index("throttle"), ALERT_KINDS.index("overspend"), 2), strict=True):
        field[:, :c] = np.where(ahead, told, 0)
    weight = np.ones((b, MAX_CAMPAIGNS))
    newest = min(t // day, c - 1)
    if t % day == 1 and t < c * day:
        weight[:, newest] = np.clip(heard[:, newest].max(-1), 1.0, 2.0)
    quiet = board.directive
    directive = Directive(weight, quiet.aggression_cap, quiet.throttle, quiet.pause, grant)
    sure = np.where(affinity == 1.0, 0.2, 0.7)
    return Actions(SegmentValue(affinity, sure), creative, bidding, alert, directive)


def demonstration(scenario: str = "default", seed: int = 7, intervals: int = 29) -> Viewer:
    """A viewer that watched the first intervals of a flight of the demonstration team."""
    market = VectorMarket(load_scenario(scenario), 1)
    market.reset(market_seeds("train", seed, 0, 1))
    viewer = Viewer(market)
    for _ in range(min(intervals, market.scenario.intervals)):
        viewer.watch(market.step(demonstration_actions(market)))
    return viewer


def main(arguments: list[str]) -> int:
    """Writes the picture of a demonstration flight to the file named."""
    if len(arguments) != 1:
        print("usage: python -m envs.render FILE.png", file=sys.stderr)
        return 2
    from envs.picture import write_png

    write_png(demonstration(), Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
