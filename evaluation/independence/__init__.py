"""Whether roles stand alone: what each message is worth, and what a team loses with each fault of each role.

`messages` mutes one kind of message, `faults` breaks one role in mid-flight, `study` measures both and
`report` writes `docs/independence.md`.
"""
