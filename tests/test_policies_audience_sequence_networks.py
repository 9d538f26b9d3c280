from __future__ import annotations

import pytest
import torch

from policies.audience.sequence_networks import SequenceNetwork, SequenceSettings, build_network


@pytest.fixture(params=["sasrec", "gru"])
def network(request: pytest.FixtureRequest) -> SequenceNetwork:
    torch.manual_seed(0)
    settings = SequenceSettings(kind=request.param, items=20, dimensions=8, max_length=6, heads=2)
    return build_network(settings).eval()


def test_shapes(network: SequenceNetwork) -> None:
    rows = torch.randint(1, 21, (3, 6))
    assert network.states(rows).shape == (3, 6, 8)
    assert network(rows).shape == (3, 20)
    assert network.scores(network.states(rows)).shape == (3, 6, 20)


def test_the_future_is_not_seen(network: SequenceNetwork) -> None:
    rows = torch.randint(1, 21, (2, 6))
    changed = rows.clone()
    changed[:, 4:] = 1 + changed[:, 4:] % 20
    before, after = network.states(rows), network.states(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_the_order_is_seen(network: SequenceNetwork) -> None:
    rows = torch.tensor([[1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6]])
    scores = network(rows)
    assert not torch.allclose(scores[0], scores[1], atol=1e-6)


def test_padding_gives_numbers_and_other_rows_do_not_matter(network: SequenceNetwork) -> None:
    rows = torch.tensor([[0, 0, 0, 3, 1, 2], [4, 5, 6, 7, 8, 9], [0] * 6])
    scores = network(rows)
    assert scores.isfinite().all()
    torch.testing.assert_close(network(rows[:1]), scores[:1])


def test_attention_does_not_look_at_padding() -> None:
    torch.manual_seed(0)
    network = build_network(SequenceSettings(kind="sasrec", items=20, dimensions=8, max_length=6)).eval()
    short = network(torch.tensor([[3, 1, 2]]))
    torch.testing.assert_close(network(torch.tensor([[0, 0, 0, 3, 1, 2]])), short)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"multiple of heads \(3\), got 8"):
        build_network(SequenceSettings(kind="sasrec", items=5, dimensions=8, heads=3))
