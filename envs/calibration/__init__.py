"""Calibration: what is known of real markets, simulated in this one and compared with its source."""
