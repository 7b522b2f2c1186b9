"""The desk for dead letters, through the operator API."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

from littoral.store.dead_letters import PART_BYTES, DeadLetter, append_dead_letters, dead_letters
from littoral.store.letter_marks import CHUNK, SCOPE
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.stores import name
from tests.unit.node.test_operator_api import Operator

LARGE = bytes(range(256)) * (PART_BYTES // 256 * 2 + 3)
DEAD = name("cloud/dead-letters")


class Asked(Operator):
    """What the API says."""

    async def refusal(self, method: str, path: str, **query: str) -> tuple[int, str, str]:
        response = await self(method, path, b"", None, **query)
        problem = json.loads(response.body)
        return response.status, problem["cause"], problem.get("remedy", "")

    async def offsets(self, **query: str) -> list[int]:
        page = await self.json("GET", "/v1/dead-letters", **query)
        assert page["next"] is None
        return [letter["offset"] for letter in page["letters"]]

    async def put(self, *letters: DeadLetter) -> None:
        await self.node.running.store.submit(lambda tx: append_dead_letters(tx, letters))


def play(story: Callable[[Asked], Awaitable[None]], seed: int, **limits: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        await story(Asked(await tree.start_root("cloud", **limits)))
        await tree.stop()

    run(main, seed=seed)


def letter(n: int, by: str = "") -> DeadLetter:
    return dead_letters(f"plant-{n % 3}/kv/lines@{n}", f"cannot do {n}: because {n % 2}", b"x%d" % n, 1000 + n, by)[0]


def test_the_open_ones_are_listed_shown_and_dropped(seed: int):
    async def story(root: Asked) -> None:
        assert await root.offsets() == []
        await root.put(*(letter(n) for n in range(4)), *dead_letters("a/b@7", "large", LARGE, 5, "fold/kv"), letter(9))
        assert await root.offsets() == [0, 1, 2, 3, 4, 7]
        page = await root.json("GET", "/v1/dead-letters", after="1", limit="1")
        assert page["letters"] == [
            {
                "offset": 1,
                "at_ms": 1001,
                "source": "plant-1/kv/lines@1",
                "reason": "cannot do 1: because 1",
                "by": "",
                "size": 2,
                "head": "x1",
            }
        ]
        assert page["next"] == 2
        shown = await root.json("GET", "/v1/dead-letters/4")
        assert base64.b64decode(shown["record"]) == LARGE
        assert (shown["size"], shown["state"], shown["until_ms"]) == (len(LARGE), "open", None)
        assert root.node.running.report.now().dead_letters == 6
        for offset in (4, 0):
            assert await root.json("POST", f"/v1/dead-letters/{offset}/drop") == {
                "offset": offset,
                "outcome": "dropped",
            }
        assert await root.offsets() == [1, 2, 3, 7]
        shown = await root.json("GET", "/v1/dead-letters/4")
        assert (shown["state"], shown["until_ms"]) == ("dropped", root.node.clock.wall_ms())
        assert root.node.running.report.now().dead_letters == 4
        assert len(root.node.records("cloud/dead-letters")) == 8, "the stream stays the record of what happened"

    play(story, seed)


def test_what_cannot_be_done_says_why_and_what_to_do(seed: int):
    async def story(root: Asked) -> None:
        await root.put(*dead_letters("a/b@1", "large", LARGE, 5), letter(3), letter(4, "fold/desired"))
        await root.put(letter(5, "someone/else"), letter(6, "fold/kv"))
        wanted = "`littoral dlq list` names"
        for path in ("/v1/dead-letters/99", "/v1/dead-letters/99/drop", "/v1/dead-letters/99/retry"):
            status, cause, remedy = await root.refusal("GET" if path[-1] == "9" else "POST", path)
            assert (status, cause) == (404, "the letters of cloud end before offset 7")
            assert wanted in remedy
        assert await root.refusal("GET", "/v1/dead-letters/1") == (
            404,
            "it is part 2 of the letter at offset 0",
            "Name that one",
        )
        assert (await root.refusal("POST", "/v1/dead-letters/x7/drop"))[:2] == (400, "it is no offset")
        await root.json("POST", "/v1/dead-letters/0/drop")
        for act in ("drop", "retry"):
            status, cause, remedy = await root.refusal("POST", f"/v1/dead-letters/0/{act}")
            assert status == 409
            assert cause.startswith("it was dropped, at 20")
            assert wanted in remedy
        reasons = {3: "it does not say who", 4: "what is desired may have changed", 5: "does not know 'someone/else'"}
        reasons[6] = "it is no key-value entry"
        for offset, reason in reasons.items():
            status, cause, remedy = await root.refusal("POST", f"/v1/dead-letters/{offset}/retry")
            assert status == 400
            assert reason in cause
        assert await root.offsets() == [3, 4, 5, 6]
        assert (await root.refusal("PUT", "/v1/dead-letters"))[0] == 405
        assert (await root.refusal("GET", "/v1/dead-letters/3/drop"))[0] == 405
        assert (await root.refusal("POST", "/v1/dead-letters/3/burn"))[0] == 404
        assert (await root.refusal("GET", "/v1/dead-letters", after="-1"))[:2] == (
            400,
            "after '-1' is not a whole number",
        )

    play(story, seed)


def test_a_letter_that_retention_took_is_gone_and_its_marks_go_too(seed: int):
    async def story(root: Asked) -> None:
        for n in range(0, CHUNK * 2, 512):
            await root.put(*(letter(n + each) for each in range(512)))
        step = await root.json("POST", "/v1/dead-letters/drop", reason="because 1")
        while step["next"] is not None:
            step = await root.json("POST", "/v1/dead-letters/drop", reason="because 1", after=str(step["next"]))
        assert root.node.running.dead_letters.open_count() == CHUNK
        store = root.node.running.store
        assert len(store.state(SCOPE)) == 3

        def keep_little(tx: Transaction) -> None:
            info = tx.stream(DEAD)
            assert info is not None
            tx.set_retention(DEAD, info.bytes // 4)

        await store.submit(keep_little)
        await asyncio.sleep(5)
        info = store.stream(DEAD)
        assert info is not None
        assert info.first > CHUNK
        assert len(store.state(SCOPE)) == 2
        assert root.node.running.dead_letters.open_count() == (CHUNK * 2 - info.first) // 2
        status, cause, remedy = await root.refusal("POST", "/v1/dead-letters/0/retry")
        assert (status, cause) == (410, f"retention has taken all before offset {info.first}")
        assert "names those that are left" in remedy
        await store.submit(lambda tx: tx.delete_stream(DEAD))
        await asyncio.sleep(5)
        assert store.state(SCOPE) == {}
        assert await root.offsets() == []

    play(story, seed)


def test_many_are_dropped_in_bounded_steps_and_what_comes_meanwhile_stays(seed: int):
    async def story(root: Asked) -> None:
        await root.put(*(letter(n) for n in range(40)), *dead_letters("plant-1/x@1", "large", LARGE, 5))
        seen, after = [], 0
        query: dict[str, str] = {"source": "plant-1/"}
        while True:
            step = await root.json("POST", "/v1/dead-letters/drop", **query)
            seen.append(step["done"])
            await root.put(letter(1))
            if step["next"] is None:
                break
            assert step["next"] > after
            after = step["next"]
            query |= {"after": str(after), "until": str(step["until"])}
        assert sum(seen) == 14
        assert max(seen) <= 5
        page = await root.json("GET", "/v1/dead-letters", source="plant-1", after="43")
        assert [each["offset"] for each in page["letters"]] == list(range(43, 43 + min(5, len(seen))))
        assert root.node.running.dead_letters.open_count() == 27 + len(seen)

    play(story, seed, dead_letters_at_once=5)


def test_many_are_retried_and_those_that_fail_stay_open(seed: int):
    async def story(root: Asked) -> None:
        await root.put(*(letter(n, "fold/kv") for n in range(60)), letter(60))
        step = await root.json("POST", "/v1/dead-letters/retry", reason="because 0")
        assert step["done"] == 0
        assert [each["offset"] for each in step["failed"]] == list(range(0, 61, 2))
        assert "it is no key-value entry" in step["failed"][1]["reason"]
        assert "it does not say who" in step["failed"][-1]["reason"]
        assert root.node.running.dead_letters.open_count() == 61

    play(story, seed)


def test_what_is_no_letter_can_be_dropped_and_not_retried(seed: int):
    async def story(root: Asked) -> None:
        def spoil(tx: Transaction) -> None:
            tx.open_stream(DEAD)
            tx.append(DEAD, [b'{"source":1}'])

        await root.node.running.store.submit(spoil)
        assert await root.offsets() == [0]
        status, cause, remedy = await root.refusal("POST", "/v1/dead-letters/0/retry")
        assert (status, remedy) == (400, "Drop it")
        assert "the letter itself cannot be read" in cause
        await root.json("POST", "/v1/dead-letters/0/drop")
        assert await root.offsets() == []

    play(story, seed)


def test_the_token_is_asked_for(seed: int):
    async def story(root: Asked) -> None:
        for path in ("/v1/dead-letters", "/v1/dead-letters/0", "/v1/dead-letters/drop"):
            assert (await root("POST", path, token="Bearer wrong")).status == 401

    play(story, seed)


def test_what_was_dropped_stays_dropped_when_the_node_starts_again(seed: int):
    async def story(root: Asked) -> None:
        await root.put(*(letter(n) for n in range(3)))
        await root.json("POST", "/v1/dead-letters/1/drop")
        root.node.cut_power()
        await root.node.start()
        assert await root.offsets() == [0, 2]

    play(story, seed)
