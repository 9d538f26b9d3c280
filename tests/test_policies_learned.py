import pytest
import torch
from torch import Tensor

from policies.learned import BLOCK, by_block


@pytest.mark.parametrize("markets", [1, 2, BLOCK, BLOCK + 1])
def test_a_network_sees_blocks_of_one_shape_and_its_answers_keep_their_place(markets: int) -> None:
    seen = []

    def network(plain: Tensor, grouped: Tensor) -> Tensor:
        seen.append((plain.shape, grouped.shape))
        return plain[:, None] + grouped

    plain, grouped = torch.rand(markets, 3, 5), torch.rand(markets, 3, 4, 5)
    answer = by_block(network, plain, grouped)
    assert torch.equal(answer, plain[:, :, None] + grouped)
    assert set(seen) == {((BLOCK, 5), (BLOCK, 4, 5))}
    assert len(seen) == -(-3 * markets // BLOCK)
