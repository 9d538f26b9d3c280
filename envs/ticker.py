"""Who told what: the difference between two message boards, in words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import (
    ADVICE,
    ALERT_KINDS,
    FORMATS,
    PLACEMENTS,
    SEGMENTS,
    SEVERITIES,
    V,
    of_creative,
    on_placement,
)
from envs.protocol import ATTRIBUTION, Alert, Board, CellCredit, CreativeAlert, Directive

LEAST_CHANGE = 0.2
"""Share by which an affinity, a bid or a weight has to change to be news."""


class Bulletin(NamedTuple):
    """One message that said something new."""

    sender: str
    text: str
    campaign: int | None
    """Whom it is about; None for all."""


def news(before: Board, after: Board, market: int, campaigns: int) -> list[Bulletin]:
    """What one market's board says that the one before did not, in the order of the agents."""
    found: list[Bulletin] = []
    for c in range(campaigns):
        found += _audience(before, after, market, c)
    for c in range(campaigns):
        found += _creative(before, after, market, c)
    for c in range(campaigns):
        found += _bidding(before, after, market, c)
    for c in range(campaigns):
        found += _monitor(before.alert, after.alert, market, c)
        found += _creative_alerts(before.creative_alert, after.creative_alert, market, c)
    for c in range(campaigns):
        found += _directive(before, after.directive, market, c, campaigns)
        found += _creative_pauses(before, after, market, c)
    for c in range(campaigns):
        found += _credit(before.credit, after.credit, market, c)
    return found + _grants(before, after, market, campaigns)


def _differs(old: float, new: float) -> bool:
    return abs(new - old) > LEAST_CHANGE * max(1e-9, abs(old))


def _names(flags: NDArray[Any], names: tuple[str, ...]) -> str:
    return ", ".join(name for name, flag in zip(names, flags, strict=True) if flag)


def _audience(before: Board, after: Board, b: int, c: int) -> list[Bulletin]:
    old, new = before.segment_value.affinity[b, c], after.segment_value.affinity[b, c]
    top = int(np.argmax(new))
    if new[top] == new.min() or (top == np.argmax(old) and not _differs(old[top], new[top])):
        return []
    sure = after.segment_value.confidence[b, c, top]
    text = f"{SEGMENTS[top]} are worth {new[top]:.1f} x to campaign {c} ({sure:.0%} sure)"
    return [Bulletin("audience_0", text, c)]


def _creative(before: Board, after: Board, b: int, c: int) -> list[Bulletin]:
    old, new = before.creative_plan.format[b, c], after.creative_plan.format[b, c]
    found = []
    for index, name in enumerate(FORMATS):
        fresh = (new == index) & (old != index)
        if fresh.any():
            completed = after.creative_plan.expected_completion[b, c][fresh].mean()
            where = _names(fresh, SEGMENTS)
            found.append(Bulletin(f"creative_{c}", f"{name} for {where}: {completed:.0%} should complete", c))
    return found


def _bidding(before: Board, after: Board, b: int, c: int) -> list[Bulletin]:
    old, new = before.spend_plan.marginal_price_usd[b, c], after.spend_plan.marginal_price_usd[b, c]
    if not _differs(old, new):
        return []
    change = f"{'up' if new > old else 'down'} {abs(new / old - 1):.0%}" if old > 0 else f"{new:.2f} USD"
    pace = f"pacing {after.spend_plan.pacing_error[b, c]:+.0%}"
    return [Bulletin(f"bidding_{c}", f"bids {change}, {pace}, wins {after.spend_plan.win_rate[b, c]:.0%}", c)]


def _monitor(before: Alert, after: Alert, b: int, c: int) -> list[Bulletin]:
    where = [f"for campaign {c} {on_placement(placement)}" for placement in PLACEMENTS]
    return _told(before, after, b, c, where)


def _creative_alerts(before: CreativeAlert, after: CreativeAlert, b: int, c: int) -> list[Bulletin]:
    return _told(before, after, b, c, [f"in {of_creative(c, script)}" for script in range(V)])


def _told(
    before: Alert | CreativeAlert, after: Alert | CreativeAlert, b: int, c: int, where: list[str]
) -> list[Bulletin]:
    """Fresh alerts of a campaign's placements or creatives."""
    found = []
    for n, place in enumerate(where):
        told = [int(field[b, c, n]) for field in after]
        if told == [int(field[b, c, n]) for field in before] or not any(told):
            continue
        advice, kind, severity = ADVICE[told[0]], ALERT_KINDS[told[1]], SEVERITIES[told[2]]
        parts = [f"{severity}:"] if told[2] else []
        parts += [kind.replace("_", " ")] if told[1] else []
        parts += [place]
        parts += [f"-> {advice}"] if told[0] else []
        found.append(Bulletin("monitor_0", " ".join(parts), c))
    return found


def _credit(before: CellCredit | None, after: CellCredit | None, b: int, c: int) -> list[Bulletin]:
    """The cell that brings most, where it is another one or its credit has changed; and hold-outs."""
    if after is None:
        return []
    found = []
    new = after.conversions_per_touch[b, c]
    old = np.zeros_like(new) if before is None else before.conversions_per_touch[b, c]
    best, was_best = int(np.argmax(new)), int(np.argmax(old))
    p, f = divmod(best, len(FORMATS))
    if new[p, f] > 0.0 and (best != was_best or _differs(old[p, f], new[p, f])):
        rate, error = 1e3 * new[p, f], 1e3 * after.deviation[b, c, p, f]
        where = f"{FORMATS[f]} {on_placement(PLACEMENTS[p])}"
        found.append(f"{where} brings campaign {c} most: {rate:.2g} purchases a thousand (+/- {error:.1g})")
    held, was = after.hold_out[b, c], 0.0 if before is None else before.hold_out[b, c]
    if held != was:
        found.append(f"holds out {held:.0%} of the impressions of campaign {c}")
    return [Bulletin(f"{ATTRIBUTION}_0", text, c) for text in found]


def _creative_pauses(before: Board, after: Board, b: int, c: int) -> list[Bulletin]:
    found = []
    for script in range(V):
        old, new = (board.creative_pause.script[b, c, script] for board in (before, after))
        if old != new:
            text = f"{'takes' if new else 'puts'} {of_creative(c, script)} {'off' if new else 'back on'} air"
            advised = before.creative_alert.kind[b, c, script] if new else 0
            text += f", advised to pause it for {ALERT_KINDS[advised].replace('_', ' ')}" if advised else ""
            found.append(Bulletin("orchestrator_0", text, c))
    return found


def _directive(board: Board, after: Directive, b: int, c: int, campaigns: int) -> list[Bulletin]:
    found, before = [], board.directive
    if before.pause[b, c] != after.pause[b, c]:
        found.append(f"{'pauses' if after.pause[b, c] else 'resumes'} campaign {c}")
    weight = after.budget_share[b]
    if (weight != before.budget_share[b]).any() and _differs(weight[:campaigns].mean(), weight[c]):
        side = "to" if weight[c] > weight[:campaigns].mean() else "from"
        found.append(f"moves budget {side} campaign {c} (weight {weight[c]:.2f})")
    old, new = before.aggression_cap[b, c], after.aggression_cap[b, c]
    if _differs(old, new):
        found.append(f"caps the bids of campaign {c} at {new:.1f} x value")
    changed = np.abs(after.throttle[b, c] - before.throttle[b, c]) > LEAST_CHANGE
    if changed.any():
        where = on_placement(_names(changed, PLACEMENTS))
        text = f"throttles campaign {c} {where} to {after.throttle[b, c][changed].mean():.0%}"
        found.append(text + _advised(board.alert, b, c, changed))
    return [Bulletin("orchestrator_0", text, c) for text in found]


def _advised(alert: Alert, b: int, c: int, where: NDArray[Any]) -> str:
    """What the monitor had said of these placements, which the orchestrator read when it directed so."""
    told = {
        f"{ADVICE[advice]} for {ALERT_KINDS[kind].replace('_', ' ')}"
        for advice, kind in zip(alert.advice[b, c][where], alert.kind[b, c][where], strict=True)
        if advice and kind
    }
    return f", advised to {' and '.join(sorted(told))}" if told else ""


def _grants(before: Board, after: Board, b: int, campaigns: int) -> list[Bulletin]:
    found = []
    old, new = before.directive.premium_grant[b], after.directive.premium_grant[b]
    for c in range(campaigns):
        fresh = (new == c + 1) & (old != c + 1)
        if fresh.any():
            text = f"grants video for {_names(fresh, SEGMENTS)} to campaign {c}"
            claimed_usd = before.creative_plan.premium_value_usd[b, c][fresh].sum()  # what it was granted on
            text += f", which claims {claimed_usd:,.2f} USD an interval" if claimed_usd > 0.0 else ""
            found.append(Bulletin("orchestrator_0", text, c))
    return found
