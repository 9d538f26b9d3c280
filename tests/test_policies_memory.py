import torch
from hypothesis import given
from hypothesis import strategies as st

from policies.memory import GatedMemory

N, T, INPUTS, UNITS = 3, 5, 4, 6


def a_memory(seed: int = 0) -> GatedMemory:
    """Of random weights; biases too, which start at zero."""
    torch.manual_seed(seed)
    memory = GatedMemory(INPUTS, UNITS)
    for layer in (memory.seen, memory.held):
        torch.nn.init.normal_(layer.bias)
    return memory


def test_it_is_the_gated_recurrent_unit_of_torch() -> None:
    memory, cell = a_memory(), torch.nn.GRUCell(INPUTS, UNITS)
    cell.load_state_dict(
        {
            "weight_ih": memory.seen.weight,
            "bias_ih": memory.seen.bias,
            "weight_hh": memory.held.weight,
            "bias_hh": memory.held.bias,
        }
    )
    x, held = torch.randn(N, INPUTS), torch.randn(N, UNITS)
    torch.testing.assert_close(memory(x, held), cell(x, held))


def test_unrolling_is_going_step_by_step_from_an_empty_memory() -> None:
    memory, x = a_memory(), torch.randn(N, T, 2, INPUTS)
    unrolled = memory.unroll(x)
    assert unrolled.shape == (N, T, 2, UNITS)
    held = torch.zeros(N, 2, UNITS)
    for t in range(T):
        held = memory(x[:, t], held)
        torch.testing.assert_close(unrolled[:, t], held)


def test_the_past_is_remembered_and_the_future_unknown() -> None:
    memory, x = a_memory(), torch.randn(N, T, INPUTS)
    other = x.clone()
    other[:, 2] += 1.0
    one, two = memory.unroll(x), memory.unroll(other)
    assert torch.equal(one[:, :2], two[:, :2])
    assert ((one[:, 2:] - two[:, 2:]).abs().amax(-1) > 1e-6).all()


def test_learning_reaches_back_to_the_first_interval() -> None:
    x = torch.randn(N, T, INPUTS, requires_grad=True)
    a_memory().unroll(x)[:, -1].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax(-1) > 0).all()


@given(seed=st.integers(0, 1000), scale=st.floats(0.0, 1e6))
def test_memory_stays_within_one_whatever_is_seen(seed: int, scale: float) -> None:
    memory = a_memory(seed).unroll(scale * torch.randn(N, T, INPUTS))
    assert memory.isfinite().all()
    assert memory.abs().max() <= 1.0


def test_the_derivative_written_by_hand_is_that_of_going_step_by_step() -> None:
    memory = a_memory().double()
    x = torch.randn(N, T, 2, INPUTS, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(N, T, 2, UNITS, dtype=torch.float64)
    held, steps = torch.zeros(N, 2, UNITS, dtype=torch.float64), []
    for t in range(T):
        held = memory(x[:, t], held)
        steps.append(held)
    leaves = [x, *memory.parameters()]
    stepwise = torch.autograd.grad((torch.stack(steps, 1) * weight).sum(), leaves)
    at_once = torch.autograd.grad((memory.unroll(x) * weight).sum(), leaves)
    for one, other in zip(stepwise, at_once, strict=True):
        torch.testing.assert_close(one, other)
