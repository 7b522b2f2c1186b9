"""The objects in a worker's `env` for queues, other apps and datasets. Each kind is loaded by workers that have such."""

from littoral.functions.messages import WorkerBinding
from littoral.functions.worker.binding_client import BindingClient

SERVICE_WAIT_S = 600.0
"""Longer than an app may take to answer (wallTimeMs): the hub says when it is over."""


def make_binding(binding: WorkerBinding, client: BindingClient) -> object:
    """What the app's code finds in `env`."""
    if binding.kind == "queue":
        from littoral.workers.queue import Queue, QueueError  # noqa: PLC0415

        return Queue(binding.name, client.caller("queue", "queue", QueueError), binding.delay_s)
    if binding.kind == "service":
        from littoral.workers.service import Service, ServiceError  # noqa: PLC0415

        # What another app has begun to do may not be asked for again.
        caller = client.caller("service", "service", ServiceError, repeatable=False, wait_s=SERVICE_WAIT_S)
        return Service(binding.name, caller)
    from littoral.workers.analytics import AnalyticsDataset, AnalyticsError  # noqa: PLC0415

    return AnalyticsDataset(binding.name, client.caller("analytics", "dataset", AnalyticsError, repeatable=False))
