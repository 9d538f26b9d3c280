"""Attribution on trial: every model's credit against the truth, and what a team earns by it.

`errors` scores credit on held-out markets, `worth` plays the same team under each model and under true
credit, `credited` and `figures` show a few flights, `report` writes `docs/attribution.md`.
"""
