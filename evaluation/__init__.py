"""Who is better, by how much, and is it true: rollouts, metrics, intervals, tuning, reports."""
