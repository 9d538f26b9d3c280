"""The watchdog on trial: `scoring` of alerts by labels, `calibration` of thresholds, `study`, `report`.

`python -m evaluation.watchdog docs` plays the trial and writes docs/watchdog.md.
"""
