import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audience.cholesky import solve_in_place


@settings(deadline=None)
@given(size=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_it_solves_what_numpy_solves_and_reads_the_lower_triangle_alone(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    root, x = rng.normal(size=(size, size)), rng.normal(size=size)
    a = root @ root.T + np.eye(size)
    expected = np.linalg.solve(a, x)
    solve_in_place(np.tril(a), x)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-10)
