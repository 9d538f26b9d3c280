"""Calibration: every fact about real markets that this one can express, simulated and compared with its source."""
