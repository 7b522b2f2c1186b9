import asyncio

from littoral.node.replies import Replies


def test_all_are_waited_for_but_those_that_are_gone() -> None:
    async def scenario() -> None:
        replies: Replies[int] = Replies("abc")
        waiting = asyncio.ensure_future(replies.wait(60))
        replies.say("a", 1)
        replies.lost("b")
        await asyncio.sleep(0)
        assert (waiting.done(), replies.missing) == (False, 1)
        replies.say("c", 2)
        await waiting
        assert (replies.said, replies.missing) == ([1, 2], 0)
        await Replies[int]().wait(60)

    asyncio.run(scenario())


def test_one_that_does_not_answer_is_waited_for_in_vain() -> None:
    async def scenario() -> None:
        replies: Replies[int] = Replies("ab")
        replies.say("a", 1)
        await replies.wait(0)
        assert (replies.said, replies.missing) == ([1], 1)

    asyncio.run(scenario())
