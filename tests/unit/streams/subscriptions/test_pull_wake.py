"""Pull-wake subscriptions: events in a wake stream, claims, acks, releases."""

import asyncio
import json
from typing import Any

import pytest

from littoral.core.names import StreamName
from littoral.wire.durable_streams import format_offset
from tests.support.subscribed import NODE, SUBSCRIPTION, Subscribed, play

WAKES = StreamName(NODE, "wake/pool")


def call(claimed: dict[str, Any], *acks: tuple[str, int], done: bool = True) -> dict[str, object]:
    said = [{"stream": stream, "offset": format_offset(offset)} for stream, offset in acks]
    return {"wake_id": claimed["wake_id"], "generation": claimed["generation"], "acks": said, "done": done}


async def claim(node: Subscribed, worker: str = "w-1") -> Any:
    return await node.json("POST", f"{SUBSCRIPTION}/claim", {"worker": worker})


async def told(node: Subscribed, count: int) -> list[dict[str, Any]]:
    """The events of the wake stream, once there are so many."""

    def length() -> int:
        info = node.store.stream(WAKES)
        return 0 if info is None else info.next

    await node.until(lambda: length() >= count)
    return await node.events()


def test_an_event_is_written_for_a_wake_and_the_next_after_it_is_done():
    async def story(node: Subscribed) -> None:
        await node.pull_wake()
        await node.append("events/a", {"n": 1})
        (event,) = await told(node, 1)
        at_ms = event.pop("ts")
        assert abs(at_ms - node.sim.clock.wall_ms()) < 1000
        assert event == {"type": "wake", "subscription_id": "s", "stream": "events/a", "generation": 1}
        await node.append("events/b", {"n": 1})
        await asyncio.sleep(100)
        assert len(await node.events()) == 1, "one wake is in flight, and nobody has claimed it"
        claimed = await claim(node)
        assert (claimed["generation"], claimed["lease_ttl_ms"]) == (1, 30_000)
        assert {each["path"]: each["tail_offset"] for each in claimed["streams"]} == {
            "events/a": format_offset(1),
            "events/b": format_offset(1),
        }
        await node.append("events/c", {"n": 1})
        done = await node.json(
            "POST", f"{SUBSCRIPTION}/ack", call(claimed, ("events/a", 1), ("events/b", 1)), claimed["token"]
        )
        assert done == {"ok": True, "next_wake": True}
        second = (await told(node, 2))[1]
        assert (second["stream"], second["generation"]) == ("events/c", 2)

    play(story)


def test_one_worker_holds_the_lease_until_it_is_over():
    async def story(node: Subscribed) -> None:
        await node.pull_wake(lease_ttl_ms=5000)
        await node.append("events/a", {"n": 1})
        await told(node, 1)
        first = await claim(node)
        busy = await node("POST", f"{SUBSCRIPTION}/claim", {"worker": "w-2"})
        assert busy.status == 409
        error = json.loads(busy.body)["error"]
        assert (error["code"], error["current_holder"], error["generation"]) == ("ALREADY_CLAIMED", "w-1", 1)
        for _ in range(5):
            await asyncio.sleep(4)
            await node.json("POST", f"{SUBSCRIPTION}/ack", call(first, done=False), first["token"])
        assert len(await node.events()) == 1
        assert (await told(node, 2))[1]["generation"] == 2
        assert node.subscriptions.state().counters.expired == 1
        second = await claim(node, "w-2")
        late = call(first, ("events/a", 1))
        assert await node.refused("POST", f"{SUBSCRIPTION}/ack", late, token=first["token"]) == (409, "FENCED")
        assert await node.acked() == {"events/a": format_offset(0)}
        await node.json("POST", f"{SUBSCRIPTION}/ack", call(second, ("events/a", 1)), second["token"])

    play(story)


def test_a_claim_after_the_lease_is_over_does_not_wait_for_anybody_to_notice():
    async def story(node: Subscribed) -> None:
        await node.pull_wake(lease_ttl_ms=5000)
        await node.append("events/a", {"n": 1})
        await told(node, 1)
        await claim(node)
        await asyncio.sleep(0.5)
        node.sim.clock.step(6000)
        assert (await claim(node, "w-2"))["generation"] == 2

    play(story)


def test_a_release_gives_the_work_to_the_next():
    async def story(node: Subscribed) -> None:
        await node.pull_wake()
        await node.append("events/a", {"n": 1})
        await told(node, 1)
        first = await claim(node)
        release = {"wake_id": first["wake_id"], "generation": first["generation"]}
        assert (await node("POST", f"{SUBSCRIPTION}/release", release, first["token"])).status == 204
        assert (await told(node, 2))[1]["generation"] == 2
        refused = await node.refused("POST", f"{SUBSCRIPTION}/release", release, token=first["token"])
        assert refused == (409, "FENCED")
        assert (await claim(node, "w-2"))["generation"] == 2

    play(story)


def test_what_was_told_of_and_is_gone_does_not_keep_what_comes_from_being_told_of():
    async def story(node: Subscribed) -> None:
        await node.pull_wake()
        await node.append("events/a", {"n": 1})
        await told(node, 1)
        assert (await node("DELETE", "events/a")).status == 204
        refused = await node.refused("POST", f"{SUBSCRIPTION}/claim", {"worker": "w"})
        assert refused == (409, "NO_PENDING_WORK")
        await node.append("events/b", {"n": 1})
        assert (await told(node, 2))[1]["stream"] == "events/b"

    play(story)


def test_a_wake_stream_that_was_deleted_is_told_again_once_it_is_there():
    async def story(node: Subscribed) -> None:
        await node.pull_wake()
        await node.append("events/a", {"n": 1})
        (event,) = await told(node, 1)
        assert (await node("DELETE", "wake/pool")).status == 204
        await asyncio.sleep(10)
        shown = await node.read()
        assert shown["status"] == "failed"
        assert "no such stream" in shown["last_error"]
        await node.append("wake/pool")
        (again,) = await told(node, 1)
        assert again["generation"] == event["generation"]
        await asyncio.sleep(0.1)
        assert (await node.read())["status"] == "active"
        assert len((await claim(node))["streams"]) == 1

    play(story)


def test_a_wake_stream_that_is_closed_is_a_failure_that_shows():
    async def story(node: Subscribed) -> None:
        await node.pull_wake()
        node.store.submit(lambda tx: tx.close_stream(WAKES))
        await node.append("events/a", {"n": 1})
        await asyncio.sleep(300)
        shown = await node.read()
        assert (shown["status"], "it is closed" in shown["last_error"]) == ("failed", True)
        assert 5 <= node.subscriptions.state().counters.failed <= 11
        assert len((await claim(node))["streams"]) == 1, "who asks gets it all the same"

    play(story)


def test_the_wake_stream_wakes_nobody_itself():
    async def story(node: Subscribed) -> None:
        await node.pull_wake("**")
        await node.append("events/a", {"n": 1})
        await told(node, 1)
        claimed = await claim(node)
        assert [each["path"] for each in claimed["streams"]] == ["events/a"]
        done = await node.json("POST", f"{SUBSCRIPTION}/ack", call(claimed, ("events/a", 1)), claimed["token"])
        assert done["next_wake"] is False
        await asyncio.sleep(60)
        assert len(await node.events()) == 1

    play(story)


@pytest.mark.parametrize(
    ("stream", "offset"),
    [
        ("events/a", "-1"),
        ("events/a", "now"),
        ("events/a", ""),
        ("events/a", format_offset(3)),
        ("events/a", format_offset(0)),
        ("other/a", format_offset(1)),
        ("events/none", format_offset(0)),
        ("../a", format_offset(0)),
    ],
)
def test_an_offset_that_is_none_moves_nothing(stream: str, offset: str):
    async def story(node: Subscribed) -> None:
        await node.append("other/a", {"n": 1})
        await node.pull_wake()
        await node.append("events/a", {"n": 1}, {"n": 2})
        await told(node, 1)
        claimed = await claim(node)
        await node.json("POST", f"{SUBSCRIPTION}/ack", call(claimed, ("events/a", 1), done=False), claimed["token"])
        await node.append("events/b", {"n": 1})
        body = call(claimed, ("events/b", 1))
        body["acks"] = [*body["acks"], {"stream": stream, "offset": offset}]  # type: ignore[misc]
        refused = await node.refused("POST", f"{SUBSCRIPTION}/ack", body, token=claimed["token"])
        assert refused == (409, "INVALID_OFFSET")
        assert await node.acked() == {"events/a": format_offset(1), "events/b": format_offset(0)}

    play(story)
