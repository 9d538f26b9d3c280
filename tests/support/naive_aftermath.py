"""What an interval leaves behind in one market, in plain Python: listeners, conversions, wear, rivals."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import Constants
from envs.philox import binomial, uniform4
from envs.state import MarketParameters, MarketState

RELEASE = 5

Cells = dict[str, "defaultdict[tuple[int, ...], float]"]


def plain(arrays: Any, market: int) -> SimpleNamespace:
    """One market's numbers as nested lists."""
    return SimpleNamespace(**{name: array[market].tolist() for name, array in arrays._asdict().items()})


class NaiveAftermath:
    """One market of a batch, and what the end of an interval does to it."""

    t: int
    out: Cells
    shown: defaultdict[tuple[int, int], int]  # impressions by campaign and listener
    attended: defaultdict[tuple[int, int], float]  # response × recall factor of them
    heard: defaultdict[int, int]  # ads of anybody, by listener

    def __init__(self, m: MarketParameters, state: MarketState, k: Constants, market: int = 0) -> None:
        self.m, self.state, self.k = plain(m, market), plain(state, market), k
        self.campaigns, self.listeners = range(len(self.m.budget_usd)), range(len(self.m.irritable))
        self.market = market

    def draw(self, stream: int, item: int, draw: int = 0) -> tuple[float, float, float, float]:
        return uniform4(self.m.seed, stream, self.t, item, draw)

    def struck(self, kind: int) -> int | None:
        """Slot of the incident of this kind that is on, if any."""
        for slot, (what, start, length) in enumerate(
            zip(self.m.incident_kind, self.m.incident_start, self.m.incident_length, strict=True)
        ):
            if what == kind and start <= self.t < start + length:
                return slot
        return None

    def struck_placement(self, kind: int) -> int | None:
        slot = self.struck(kind)
        return None if slot is None else int(self.m.incident_placement[slot])

    def struck_campaign(self, kind: int) -> int | None:
        slot = self.struck(kind)
        return None if slot is None else int(self.m.incident_campaign[slot])

    def struck_creative(self, kind: int) -> tuple[int, int] | None:
        """Campaign and script that an incident of this kind strikes."""
        slot = self.struck(kind)
        if slot is None:
            return None
        campaign = int(self.m.incident_campaign[slot])
        if self.m.incident_start[slot] == self.t:
            return campaign, int(cat.ARMS[self.state.on_air[campaign][self.m.incident_segment[slot]], 1])
        return campaign, int(self.state.struck_script[slot])

    # What the interval leaves behind.

    def update_listeners(self) -> None:
        st, k = self.state, self.k
        for c in self.campaigns:
            for i in self.listeners:
                shown, z = self.shown[c, i], self.attended[c, i]
                slow, fast = st.memory_slow[c][i] * self.m.recall_decay[c], st.memory_fast[c][i] * k.fast_kept
                recent = st.recent_exposure[c][i] * k.recent_kept
                arm = st.on_air[c][self.m.listener_segment[i]]
                st.memory_slow[c][i] = slow + (1 - slow) * res.memory_gain(z, res.RECALL_GAIN_SLOW, recent)
                st.memory_fast[c][i] = fast + (1 - fast) * res.memory_gain(z, res.RECALL_GAIN_FAST, 0.0)
                st.recent_exposure[c][i] = recent + shown
                offensive = self.struck_creative(con.DISLIKE_SURGE) == (c, cat.ARMS[arm, 1])
                annoying = con.DISLIKED_ANNOYANCE if offensive else 1.0
                annoyed = shown * cat.ARM_FATIGUE[arm] * annoying
                st.annoyance[c][i] = st.annoyance[c][i] * k.annoyance_kept + annoyed
                st.exposures[c][i] += shown
        for i in self.listeners:
            s = self.m.listener_segment[i]
            usual = sum(self.m.traffic[self.t][s]) * self.m.listening_share[i] / res.REFERENCE_ADS_PER_HOUR
            st.ads_heard[i] = k.load_kept * st.ads_heard[i] + self.heard[i]
            st.hours_listened[i] = k.load_kept * st.hours_listened[i] + usual * st.health[i]
            load = st.ads_heard[i] / max(1e-9, st.hours_listened[i])
            annoyed = sum(st.annoyance[c][i] for c in self.campaigns)
            target = 1.0 - res.LOAD_EFFECT * (load - res.REFERENCE_ADS_PER_HOUR)
            target -= self.m.churn[s] * max(0.0, annoyed - res.HEALTH_THRESHOLD)
            health = st.health[i] + k.health_change * (target - st.health[i])
            st.health[i] = min(res.HEALTH_MAX, max(0.02, health))

    def people(self, segment: int) -> int:
        return max(1, self.m.listener_segment.count(segment))

    def settle(self, next_on_air: list[list[int]]) -> None:
        st = self.state
        for slot, kind in enumerate(self.m.incident_kind):
            named = cat.INCIDENT_KINDS[kind] in cat.INCIDENTS_ON_CREATIVES
            if named and self.m.incident_start[slot] == self.t:
                arm = st.on_air[self.m.incident_campaign[slot]][self.m.incident_segment[slot]]
                st.struck_script[slot] = int(cat.ARMS[arm, 1])
        for c in self.campaigns:
            for s in range(cat.S):
                for delay, pool in enumerate(st.conversion_pool[c][s]):
                    u, *_ = self.draw(RELEASE, (c * cat.S + s) * len(res.DELAY_HOURS) + delay)
                    reported = binomial(pool, self.k.delay_release[delay], u)
                    st.conversion_pool[c][s][delay] = pool - reported
                    self.out["conversions"][c, s] += reported
                    if self.t == self.k.intervals - 1:
                        self.out["conversions_settled"][c, s] += pool - reported
                st.wear[c][s] = [[worn * self.k.wear_kept for worn in row] for row in st.wear[c][s]]
                fmt, script = cat.ARMS[st.on_air[c][s], :2]
                aired = sum(
                    n for (d, i), n in self.shown.items() if (d, self.m.listener_segment[i]) == (c, s)
                )
                st.wear[c][s][fmt][script] += aired / self.people(s)
        st.on_air = next_on_air
        for p in range(cat.P):
            self.out["tracked"][(p,)] = float(self.struck_placement(con.TRACKING_OUTAGE) != p)
        for slot, kind in enumerate(self.m.incident_kind):
            start = self.m.incident_start[slot]
            if start <= self.t < start + self.m.incident_length[slot]:
                self.out["incident"][(slot,)] = kind

    def update_rivals(self) -> None:
        st, day = self.state, self.k.intervals_per_day
        share = 0.0
        if self.k.reactive:
            share = sum(self.out["wins"].values()) / (1 + sum(self.out["opportunities"].values()))
        for r, budget in enumerate(self.m.rival_budget_usd):
            if self.m.rival_paces[r]:
                spent = (budget - st.rival_left_usd[r]) / budget
                ahead = (self.t % day + 1) / day - spent
                st.rival_pace[r] = min(1.0, max(0.3, st.rival_pace[r] * math.exp(ahead + share)))
            if (self.t + 1) % day == 0:
                st.rival_left_usd[r] = budget * (1 + 0.5 * share)

    def survey(self) -> None:
        st, out = self.state, self.out
        for s in range(cat.S):
            who = [i for i in self.listeners if self.m.listener_segment[i] == s]

            def mean(values: list[float], who: list[int] = who, people: int = self.people(s)) -> float:
                return sum(values[i] for i in who) / people

            out["health_before"][(s,)] = st.segment_health[s]
            out["health"][(s,)] = st.segment_health[s] = mean(st.health)
            shared = sum(mean(annoyance) for annoyance in st.annoyance)
            for c in self.campaigns:
                known = [
                    res.recall_of(*stores)
                    for stores in zip(st.memory_slow[c], st.memory_fast[c], strict=True)
                ]
                out["recall_before"][c, s] = st.recall[c][s]
                out["recall"][c, s] = st.recall[c][s] = mean(known)
                out["fatigue"][c, s] = res.FATIGUE_OWN * mean(st.annoyance[c]) + res.FATIGUE_SHARED * shared
                out["frequency"][c, s] = mean(st.exposures[c])
                out["recent_exposure"][c, s] = mean(st.recent_exposure[c])
                out["reach"][(c,)] += sum(st.exposures[c][i] > 0 for i in who) / len(self.listeners)
