import asyncio
from datetime import UTC, datetime

import pytest

from littoral.workers import (
    Context,
    DurableObject,
    Env,
    Message,
    MessageBatch,
    NotSupported,
    ScheduledController,
    WorkflowEntrypoint,
    env,
    platform,
    wait_until,
)


def test_the_context_says_what_it_has_not() -> None:
    ctx = Context(lambda work: None)
    ctx.passThroughOnException()
    assert ctx.props == {}
    with pytest.raises(NotSupported, match="ctx.tracing is not supported yet. Print what is worth knowing"):
        _ = ctx.tracing
    with pytest.raises(AttributeError, match="ctx has no 'waituntil'; it has waitUntil"):
        _ = ctx.waituntil


@pytest.mark.parametrize("base", [DurableObject, WorkflowEntrypoint])
def test_classes_that_cannot_run_are_refused_when_they_are_defined(base: type) -> None:
    with pytest.raises(NotSupported, match=rf"class Counter\({base.__name__}\) is not supported yet"):
        type("Counter", (base,), {})


def test_messages_are_settled_once() -> None:
    batch = MessageBatch("q", [Message("a", 1, 0), Message("b", 2, 1000), Message("c", 3, 0)])
    batch.messages[0].retry({"delaySeconds": 5})
    batch.messages[0].ack()
    batch.messages[1].ack()
    batch.retryAll(delay_seconds=7)
    assert [(message.settled, message.retry_after_s) for message in batch.messages] == [
        (False, 5),
        (True, None),
        (False, 7),
    ]
    batch.ackAll()
    assert batch.messages[2].settled is False
    assert batch.messages[1].timestamp == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_run_of_a_cron_trigger() -> None:
    controller = ScheduledController("0 * * * *", 1000)
    assert (controller.cron, controller.scheduled_time.second, controller.retries) == ("0 * * * *", 1, True)
    controller.noRetry()
    assert not controller.retries


def test_what_a_process_installs_is_there_without_a_handler() -> None:
    async def end() -> None: ...

    started: list[object] = []
    installed = platform.Platform(background=started.append)
    try:
        with pytest.raises(RuntimeError, match="works within a worker"):
            wait_until(asyncio.sleep)  # type: ignore[arg-type]
        platform.install(installed, Env({"A": "1"}))
        assert env.A == "1"
        work = asyncio.sleep(0)
        wait_until(work)
        assert started == [work]
        work.close()
        platform.at_end(end)
        platform.at_end(end)
        assert installed.at_end == [end]
    finally:
        platform.install(platform.Platform(), Env({}))
    with pytest.raises(AttributeError, match="this app has: none"):
        _ = env.A
