"""Who will care, learned from listening: collaborative filtering and sequence models over real histories.

Nothing here is imported with the package; torch is imported by `sequence_networks`, `sequence_training`
and `sequence_model` alone.
"""
