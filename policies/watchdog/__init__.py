"""The watchdog: signals of what may go wrong, sequential detectors on them, alerts of whole episodes.

`signals` turns the monitor's observations into counts against what was to be expected, one stream a kind;
`detectors` watch streams; `episodes` turns statistics into alerts; `monitor` is the policy; `thresholds` hold
the false-alarm rate.
"""
