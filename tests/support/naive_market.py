"""One market once more, in plain Python: what `envs.dynamics` does, without its kernels.

It draws from the same addresses (`envs.philox`) and shares the closed forms of `envs.response`; all else
is written anew, so that two readings of the same rules must agree.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from support.naive_aftermath import Cells, NaiveAftermath, plain
from support.naive_auction import Lot, naive_sale, price_to_beat

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.philox import binomial
from envs.state import Controls

ARRIVAL, OPPORTUNITY, OUTCOME, DELAY = 0, 1, 3, 4
RULES = ("first_price", "generalized_second_price", "vcg")


class Bid(NamedTuple):
    campaign: int  # −1: a rival's
    rival: int  # −1: ours
    usd: float
    category: int


class Opportunity(NamedTuple):
    item: int
    listener: int
    segment: int
    placement: int
    visible: bool
    quality: float


class Halves(NamedTuple):
    high: float
    low: float


def halves(u: float) -> Halves:
    """Two uniforms of 16 bits out of one of 32."""
    word = int(u * 2**32)
    return Halves(((word >> 16) + 0.5) / 2**16, ((word & 0xFFFF) + 0.5) / 2**16)


class NaiveMarket(NaiveAftermath):
    """One market of a batch; `play` changes `state` and gives the cells of `Outcome` that are not 0.

    `offered`, `beat` and `paid` hold the last interval's bids, prices to beat and payments in USD, by
    opportunity and campaign; `revenue_usd` what the seller got for slots that were heard, whoever bought.
    """

    def play(self, controls: Controls, next_on_air: Any, t: int) -> Cells:
        self.t, self.controls = t, plain(controls, self.market)
        self.out: Cells = defaultdict(lambda: defaultdict(float))
        self.shown: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.attended: defaultdict[tuple[int, int], float] = defaultdict(float)
        self.heard: defaultdict[int, int] = defaultdict(int)
        self.offered: dict[tuple[int, int], float] = {}
        self.beat: dict[tuple[int, int], float] = {}
        self.paid: dict[tuple[int, int], float] = {}
        self.revenue_usd = 0.0
        if t % self.k.intervals_per_day == 0:
            self.state.exposures_today = [[0.0 for _ in self.campaigns] for _ in self.listeners]
            self.state.day_left_usd = [self.k.daily_cap_fraction * usd for usd in self.m.budget_usd]
        traffic = sum(map(sum, self.m.traffic[t]))
        most = traffic * self.k.load_factor * res.HEALTH_MAX
        for item in range(int(most + self.draw(ARRIVAL, 0)[0])):
            opportunity = self.arrive(item)
            if opportunity is not None:
                self.auction(opportunity)
        self.update_listeners()
        self.settle(next_on_air[self.market].tolist())
        self.update_rivals()
        self.survey()
        return self.out

    # Who listens, and who bids.

    def arrive(self, item: int) -> Opportunity | None:
        """The item-th opportunity that a market in full health would bring, or None if nobody is there."""
        u_cell, u_who, u_mixed, u_quality = self.draw(OPPORTUNITY, item)
        traffic = self.m.traffic[self.t]
        total, edge = sum(map(sum, traffic)), 0.0
        cells = [(s, p) for s in range(cat.S) for p in range(cat.P)]
        segment, placement = cells[-1]
        for s, p in cells:
            edge += traffic[s][p]
            if u_cell <= edge / total:
                segment, placement = s, p
                break
        first, end = self.m.segment_start[segment], self.m.segment_start[segment + 1]
        if first == end:
            return None
        place = u_who * (end - first)
        listener = first + int(place)
        if place - int(place) >= self.m.alias_probability[listener]:
            listener = self.m.alias[listener]
        present, visible = halves(u_mixed)
        if present * res.HEALTH_MAX >= self.state.health[listener]:
            return None
        self.out["opportunities"][segment, placement] += 1
        grade = int(halves(u_quality).high * len(self.k.quality))
        return Opportunity(
            item,
            listener,
            segment,
            placement,
            visible < cat.SCREEN_VISIBLE_PROBABILITY[placement],
            float(self.k.quality[grade]),
        )

    def our_bids(self, o: Opportunity) -> list[Bid]:
        made = []
        for c in self.campaigns:
            fmt = cat.ARMS[self.state.on_air[c][o.segment], 0]
            if cat.NEEDS_SCREEN[fmt] and not o.visible:
                continue
            if self.state.exposures_today[o.listener][c] >= self.k.frequency_cap:
                continue
            wish = min(self.controls.multiplier[c][o.segment][o.placement], self.controls.aggression_cap[c])
            wish *= self.controls.throttle[c][o.placement]
            if self.struck_campaign(con.OVERSPEND_FAULT) == c:
                wish *= con.OVERSPEND_FACTOR
            if self.struck_campaign(con.SILENT_AGENT) == c:
                wish = 0.0
            value = self.controls.predicted_affinity[c][o.listener] * o.quality
            value *= float(cat.PLACEMENT_FIT[fmt, o.placement]) * self.m.attention[self.t][o.placement]
            purse = min(self.state.budget_left_usd[c], self.state.day_left_usd[c])
            usd = min(wish * value * self.k.price_level_usd, purse)
            if usd > 0:
                self.out["bids"][c, o.segment, o.placement] += 1
                self.out["bid_usd"][c, o.segment, o.placement] += usd
                made.append(Bid(c, -1, usd, self.category(c)))
                self.offered[o.item, c] = usd
        return made

    def category(self, campaign: int) -> int:
        return self.m.vertical[campaign] if self.k.separation else -1

    def rival_bids(self, o: Opportunity) -> tuple[int, list[Bid]]:
        """How many slots go beyond the table's end, and the prices within it whose owners take part."""
        p, slots, made = o.placement, int(self.k.slots[o.placement]), []
        unwinnable, depth = 0, 1.0
        grade = self.k.quality.tolist().index(o.quality)
        scale = self.k.price_level_usd
        follows = halves(self.draw(OPPORTUNITY, o.item)[0]).low < self.k.value_price_dependence
        if self.struck(con.RIVAL_SURGE) is not None:
            scale *= con.SURGE_FACTOR
        if self.struck_placement(con.INVALID_TRAFFIC) == p:
            scale *= con.INVALID_DISCOUNT
        words = [u for draw in range(1, 2 + slots) for u in self.draw(OPPORTUNITY, o.item, draw)]
        rivals = len(self.m.rival_paces)
        for rank in range(min(slots + 1, rivals)):
            u_depth, mixed = words[2 * rank], halves(words[2 * rank + 1])
            depth *= float(np.interp(u_depth, np.linspace(0, 1, con.LADDER + 1), self.k.ladder[rank]))
            within = self.k.within_table[p]
            if depth >= within:
                unwinnable += 1
                continue
            if rank == 0 and follows:
                depth = within * (grade + 0.5) / len(self.k.quality)
            owner = 0
            while owner < rivals - 1 and mixed.high > self.m.rival_share[o.segment][p][owner]:
                owner += 1
            while any(bid.rival == owner for bid in made):  # nobody owns two prices of a pod
                owner = (owner + 1) % rivals
            table = self.k.price_quantile[p]
            usd = float(table[int(depth / within * len(table))] * scale)
            usd *= self.m.rival_level[owner][o.segment][p] * self.m.rival_drift[owner][self.t]
            if self.state.rival_left_usd[owner] >= usd and mixed.low < self.state.rival_pace[owner]:
                made.append(Bid(-1, owner, usd, self.m.rival_vertical[owner] if self.k.separation else -1))
        return min(unwinnable, slots), made

    # Who wins, and what that brings.

    def auction(self, o: Opportunity) -> None:
        ours = self.our_bids(o)
        unwinnable, theirs = self.rival_bids(o)
        bids, slots = ours + theirs, int(self.k.slots[o.placement])
        hears_until = halves(self.draw(OPPORTUNITY, o.item)[3]).low
        self.heard[o.listener] += sum(hears_until < x for x in self.k.exposure[:unwinnable])
        if unwinnable == slots:
            return
        lot = Lot(
            bids=[bid.usd for bid in bids],
            floor=float(self.k.reserve_usd[o.placement]),
            exposure=self.k.exposure[unwinnable:slots].tolist(),
            category=[bid.category for bid in bids],
            seed=self.m.seed,
            interval=self.t,
            opportunity=o.item,
        )
        for c in self.campaigns:
            own = [index for index, bid in enumerate(bids) if bid.campaign == c]
            beat = price_to_beat(lot, own[0] if own else None, self.category(c))
            self.out["price_usd"][c, o.segment, o.placement] += beat
            self.out["priced"][c, o.segment, o.placement] += 1
            self.beat[o.item, c] = beat
        for x, index, price in zip(lot.exposure, *naive_sale(lot, RULES[self.k.rule]), strict=True):
            if index < 0 or hears_until >= x:
                continue
            self.heard[o.listener] += 1
            self.revenue_usd += price
            bid = bids[index]
            if bid.campaign < 0:
                self.state.rival_left_usd[bid.rival] -= min(price, self.state.rival_left_usd[bid.rival])
            else:
                self.state.budget_left_usd[bid.campaign] -= price
                self.state.day_left_usd[bid.campaign] -= price
                self.state.exposures_today[o.listener][bid.campaign] += 1
                self.bring_feedback(o, bid, price)

    def bring_feedback(self, o: Opportunity, bid: Bid, price: float) -> None:
        c, i, cell = bid.campaign, o.listener, (bid.campaign, o.segment, o.placement)
        arm, weight = self.state.on_air[c][o.segment], self.k.weight
        fmt, script = cat.ARMS[arm, 0], cat.ARMS[arm, 1]

        def count(name: str, amount: float) -> None:
            self.out[name][cell] += amount

        self.paid[o.item, c] = price
        count("wins", 1)
        count("spend_usd", price)
        count("won_bid_usd", bid.usd)
        count("predicted_won", self.controls.predicted_affinity[c][i] * o.quality)
        self.shown[c, i] += int(con.REPEATS) if self.struck_campaign(con.FREQUENCY_BREACH) == c else 1
        u_fate, u_mood, u_done, u_skip = self.draw(OUTCOME, o.item, 2 * c)
        u_dislike, u_click, u_buy, _ = self.draw(OUTCOME, o.item, 2 * c + 1)
        if self.struck_placement(con.INVALID_TRAFFIC) == o.placement and u_fate < con.INVALID_SHARE:
            count("wasted_usd", price)
            count("clicks", binomial(weight, con.INVALID_CLICK_RATE, u_mood))
            return
        if u_fate > 1.0 - con.INATTENTIVE_SHARE:
            count("wasted_usd", price)
            return
        count("affinity_won", self.m.affinity[c][i])
        lingering = self.lingering(c, i)
        if lingering <= 0:
            count("wasted_usd", price)
        mood, edge = 0, self.m.mood_probability[self.t][o.segment][0]
        while u_mood > edge and mood < cat.M - 1:
            mood += 1
            edge += self.m.mood_probability[self.t][o.segment][mood]
        worn = self.m.wear_out[c] * self.state.wear[c][o.segment][fmt][script]
        log_effect = self.m.log_arm[c][o.segment][arm] - worn + self.m.log_mood[c][mood][fmt][script]
        if self.struck_creative(con.CREATIVE_BURN_OUT) == (c, script):
            log_effect += math.log(con.BURNT_OUT_RESPONSE)
        fit = float(cat.PLACEMENT_FIT[fmt, o.placement])
        spot = o.quality * fit * self.m.attention[self.t][o.placement] * math.exp(log_effect)
        z = lingering * spot
        self.attended[c, i] += self.rested(c, i) * spot * cat.ARM_RECALL[arm] * self.m.recall[c]
        done = binomial(weight, res.completion_probability(z, cat.ARM_HAZARD[arm]), u_done)
        count("completions", done)
        count("skips", binomial(weight - done, res.SKIP_SHARE, u_skip))
        angry = res.DISLIKE_RATE * math.exp(min(4.0, self.state.annoyance[c][i])) / max(0.2, z)
        if self.struck_creative(con.DISLIKE_SURGE) == (c, script):
            angry *= con.DISLIKE_FACTOR
        count("dislikes", binomial(weight, min(0.5, angry), u_dislike))
        factor = cat.ARM_CLICK[arm] * cat.ACTIVITY_CLICK[mood]
        dead_link = self.struck_creative(con.CTR_DROP) == (c, script)
        clicks = res.click_probability(z, factor, float(o.visible))
        count("clicks", binomial(weight, clicks * (con.DEAD_LINK_CLICKS if dead_link else 1.0), u_click))
        recall = res.recall_of(self.state.memory_slow[c][i], self.state.memory_fast[c][i])
        buys = res.conversion_probability(z, cat.ARM_CONVERSION[arm] * self.m.conversion[c], recall)
        buys *= con.DEAD_LINK_CONVERSIONS if dead_link else 1.0
        buys *= con.BROKEN_SHOP_CONVERSIONS if self.struck_campaign(con.CPA_BREACH) == c else 1.0
        caused = binomial(weight, buys, u_buy)
        self.out["conversions_caused"][c, o.segment] += caused
        u_minutes, u_days, *_ = self.draw(DELAY, o.item, c)
        minutes = binomial(caused, res.DELAY_SHARE[0], u_minutes)
        later = res.DELAY_SHARE[1] / (res.DELAY_SHARE[1] + res.DELAY_SHARE[2])
        days = binomial(caused - minutes, later, u_days)
        for delay, conversions in enumerate((minutes, days, caused - minutes - days)):
            self.state.conversion_pool[c][o.segment][delay] += conversions

    def rested(self, c: int, i: int) -> float:
        """Affinity, less what a spot's first exposures lack."""
        novelty = self.m.wear_in[c] * math.exp(-0.5 * self.state.exposures[c][i])
        return float(self.m.affinity[c][i] * math.exp(-novelty))

    def lingering(self, c: int, i: int) -> float:
        """What repetition left of it."""
        own = self.state.annoyance[c][i]
        everybody = sum(annoyance[i] for annoyance in self.state.annoyance)
        loss = res.FATIGUE_OWN * own + res.FATIGUE_SHARED * everybody
        left = 1.0 - res.irritation(own) if self.m.irritable[i] else 1.0
        return self.rested(c, i) * math.exp(-loss) * max(0.0, float(left))
