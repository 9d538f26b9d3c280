"""The world: a market of ad breaks, its auction, its listeners and its agents' protocol.

`from envs import ad_market_v0` gives the PettingZoo environment (`parallel_env`, `env`) and the batched one
(`vector_env`). Importing this package alone loads neither numba nor gymnasium.
"""
