from typing import get_args

from littoral.core.lanes import LANES, Lane


def test_every_lane_has_its_place_in_the_order():
    assert get_args(Lane) == LANES


def test_what_commands_and_warns_goes_before_what_reports():
    assert LANES.index("control") < LANES.index("alerts") < LANES.index("telemetry") < LANES.index("bulk")
