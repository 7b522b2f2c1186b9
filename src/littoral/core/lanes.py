"""Lanes: the priority classes of the uplink."""

from typing import Literal

Lane = Literal["control", "alerts", "state", "telemetry", "bulk"]

LANES: tuple[Lane, ...] = ("control", "alerts", "state", "telemetry", "bulk")
"""Most urgent first. A lane is served only while no earlier one has anything to send."""
