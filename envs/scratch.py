"""The working memory of the kernels that play an interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.bids import OUTCOME_DRAWS, Bids, no_bids
from envs.feedback import TALLIES
from envs.opportunities import BLOCK, GUIDE
from envs.rivals import FIRST_PRICE_WORD, WORDS_PER_RIVAL
from envs.state import DELAY_CLASSES, Float, Int


class Scratch(NamedTuple):
    """Working memory of one market's interval, one a thread; nothing of it outlives the interval."""

    words: NDArray[np.uint32]  # [words of an opportunity, block]
    edge: Float  # [S · P] cumulative shares of cells
    guide: Int  # [GUIDE]
    unit_bid: Float  # [2, S · P, C] bid per predicted value, screen hidden or visible
    believed: Float  # [L, C] predicted affinity
    arrived: Float  # [S · P] opportunities
    bid_count: Float  # [S · P, C] bids
    bid_usd: Float  # [S · P, C] their sum
    beat: Float  # [S · P] opportunities with a price inside the table
    beat_usd: Float  # [S · P] sum of what it took to win one
    extra_usd: Float  # [S · P, C] the same where the campaign won, above what it took others
    release_words: NDArray[np.uint32]  # [4, C · S · DELAY_CLASSES]
    tally: Float  # [C · S · P, TALLIES] what impressions brought
    conversions: Float  # [C, S] caused
    own_category: Int  # [C]
    purse_usd: Float  # [C] what a campaign can pay: of its budget, and today
    no_offers: Float  # [0] nobody bids from outside
    bid: Float  # [bidders of an opportunity]
    category: Int  # [bidders]
    bidder: Int  # [bidders] campaign c, or C + rival
    ranked_bid: Float  # [slots + 1]
    ranked_bidder: Int  # [slots + 1]
    shadow: Float  # [slots + 1]
    winner: Int  # [slots]
    price: Float  # [slots]
    made: Bids  # [block · C] rows
    outcome_words: NDArray[np.uint32]  # [words of a row's feedback, block · C]
    met: Float  # [block · C, 5] of the row's listener: affinity, annoyance, that of all, exposures, recall
    effect: Float  # [C, S, M] effect of what is on air
    shown: Float  # [C, L] impressions
    attention: Float  # [C, L] response × recall factor of the impressions
    reached: Int  # [C · L, 2] campaign and listener of those shown something
    reached_count: Int  # [1] how many of them
    aired: Float  # [C, S] impressions
    heard: Float  # [L] ads of anybody
    total: Float  # [L] annoyance over campaigns
    waiting: Int  # [C, S, DELAY_CLASSES] conversions caused


def new_scratch(campaigns: int, listeners: int, longest_pod: int, block: int = BLOCK) -> Scratch:
    """Working memory for markets of this size; `block` changes the speed and nothing else."""
    ranks, words = longest_pod + 1, FIRST_PRICE_WORD + WORDS_PER_RIVAL * (longest_pod + 1)
    bidders, segment, cells = campaigns + ranks, (campaigns, cat.S), cat.S * cat.P
    return Scratch(
        words=np.empty((4 * -(-words // 4), block), np.uint32),
        edge=np.empty(cells),
        guide=np.empty(GUIDE, np.int64),
        unit_bid=np.empty((2, cells, campaigns)),
        believed=np.empty((listeners, campaigns)),
        arrived=np.zeros(cells),
        bid_count=np.zeros((cells, campaigns)),
        bid_usd=np.zeros((cells, campaigns)),
        beat=np.zeros(cells),
        beat_usd=np.zeros(cells),
        extra_usd=np.zeros((cells, campaigns)),
        release_words=np.empty((4, campaigns * cat.S * DELAY_CLASSES), np.uint32),
        tally=np.zeros((campaigns * cells, TALLIES)),
        conversions=np.zeros(segment),
        own_category=np.empty(campaigns, np.int64),
        purse_usd=np.empty(campaigns),
        no_offers=np.empty(0),
        bid=np.empty(bidders),
        category=np.empty(bidders, np.int64),
        bidder=np.empty(bidders, np.int64),
        ranked_bid=np.empty(ranks),
        ranked_bidder=np.empty(ranks, np.int64),
        shadow=np.empty(ranks),
        winner=np.empty(longest_pod, np.int64),
        price=np.empty(longest_pod),
        made=no_bids(block * campaigns),
        outcome_words=np.empty((4 * OUTCOME_DRAWS, block * campaigns), np.uint32),
        met=np.empty((block * campaigns, 5)),
        effect=np.empty((*segment, cat.M)),
        shown=np.zeros((campaigns, listeners)),
        attention=np.zeros((campaigns, listeners)),
        reached=np.empty((campaigns * listeners, 2), np.int64),
        reached_count=np.zeros(1, np.int64),
        aired=np.zeros(segment),
        heard=np.zeros(listeners),
        total=np.zeros(listeners),
        waiting=np.zeros((*segment, DELAY_CLASSES), np.int64),
    )
