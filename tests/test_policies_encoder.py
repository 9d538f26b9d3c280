from __future__ import annotations

import numpy as np
import torch
from support.seen import B, C, seen

from envs.catalogue import S
from envs.observation import SCHEMAS
from policies.encoder import CAMPAIGN_COLUMNS, FEATURE_CLIP, MARKET_COLUMNS, campaign_encoder

LEFT_OUT = ("campaign_mask", "premium_value_usd")  # of the orchestrator's: weights do not depend on claims


def test_columns_cover_every_field_once() -> None:
    for columns, schema in (
        (CAMPAIGN_COLUMNS, SCHEMAS["bidding"]),
        (MARKET_COLUMNS, SCHEMAS["orchestrator"]),
    ):
        flat = columns.plain + [column for member in columns.grouped for column in member]
        assert len(flat) == len(set(flat))
        left_out = [schema.slices[name] for name in LEFT_OUT if name in schema.slices]
        dropped = {column for part in left_out for column in range(part.start, part.stop)}
        assert set(flat) | dropped == set(range(schema.size))


def test_grouped_columns_are_the_segments_own() -> None:
    schema = SCHEMAS["bidding"]
    marked = np.zeros(schema.size, np.float32)
    schema.view(marked, "conversions")[:] = np.expm1([1.0, 2.0, 3.0, 4.0])
    encoder = campaign_encoder(belief=False)
    plain, grouped = encoder.raw(torch.from_numpy(marked))
    assert plain.abs().sum() == 0
    torch.testing.assert_close(grouped.sum(-1), torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_the_encoder_standardises_and_clips() -> None:
    observation, campaign, segment = seen()
    encoder = campaign_encoder(belief=True)
    encoder.fit(observation, (campaign, segment))
    plain, grouped = encoder(observation, (campaign, segment))
    assert plain.shape == (B, C, encoder.plain_size)
    assert grouped.shape == (B, C, S, encoder.grouped_size)
    assert plain.reshape(B * C, -1).mean(0).abs().max() < 1e-4
    far, _ = encoder(observation + 1e3, (campaign, segment))
    assert far.max() <= FEATURE_CLIP


def test_a_column_that_never_moves_is_only_centred() -> None:
    observation, campaign, segment = seen()
    encoder = campaign_encoder(belief=True)
    encoder.fit(torch.zeros_like(observation), (campaign, segment))
    assert encoder.plain_scale[0] == 1.0
