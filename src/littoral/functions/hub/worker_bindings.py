"""What a worker is told of its app's bindings to queues, other apps and datasets."""

from littoral.core.resources.units import parse_duration_ms
from littoral.functions.apps import PlacedApp
from littoral.functions.messages import WorkerBinding


def worker_bindings(app: PlacedApp) -> dict[str, WorkerBinding]:
    """By name in `env`."""
    queues = {
        each.binding: WorkerBinding("queue", each.queue, parse_duration_ms(each.delivery_delay) // 1000)
        for each in app.queues.producers
    }
    # Which app it is, the hub knows by the name of the binding.
    services = {each.binding: WorkerBinding("service", each.binding) for each in app.services}
    return queues | services | {each.binding: WorkerBinding("analytics", each.dataset) for each in app.datasets}
