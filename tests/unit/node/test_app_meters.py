from littoral.functions.meters import FunctionMeter
from littoral.gateway.meters import Meters
from littoral.node.app_meters import PROCESSES_MOST, AppMeters
from littoral.node.control_messages import GatewayReport


def report(index: int, pid: int, **calls: int) -> GatewayReport:
    return GatewayReport(
        index, pid, Meters(), {app: {"r1": FunctionMeter(calls=count)} for app, count in calls.items()}
    )


def calls(meters: AppMeters, app: str = "shop") -> int:
    return sum(meter.calls for meter in meters.of(app).values())


def test_what_is_not_told_again_still_holds() -> None:
    meters = AppMeters()
    meters.take(report(0, 100, shop=3, other=1), 0)
    meters.take(report(1, 101, shop=4), 0)
    meters.take(report(0, 100, other=2), 0)
    assert (calls(meters), calls(meters, "other")) == (7, 2)
    meters.take(report(0, 100, shop=5), 0)
    assert calls(meters) == 9


def test_a_gateway_that_ended_keeps_its_share_and_takes_no_room() -> None:
    meters = AppMeters()
    meters.take(report(0, 1, shop=1), 0)
    for pid in range(2, 2 * PROCESSES_MOST):
        meters.take(report(1, pid, shop=1), 0)
        meters.take(report(0, 1), 0)
    assert calls(meters) == 2 * PROCESSES_MOST - 1
    assert len(meters._processes) == PROCESSES_MOST
    meters.take(report(0, 1, shop=2), 0)
    assert calls(meters) == 2 * PROCESSES_MOST, "one that goes on to report is not counted among those that ended"


def test_counts_are_of_the_mean_of_the_times_of_the_last_reports() -> None:
    meters = AppMeters()
    assert meters.heard_ms is None
    meters.take(report(0, 1), 1000)
    meters.take(report(1, 2), 1500)
    meters.take(report(0, 1), 2000)
    assert meters.heard_ms == 1750


def test_apps_that_are_gone_are_forgotten() -> None:
    meters = AppMeters()
    meters.take(report(0, 1, shop=3, other=1), 0)
    meters.keep({"other"})
    assert (calls(meters), calls(meters, "other")) == (0, 1)
