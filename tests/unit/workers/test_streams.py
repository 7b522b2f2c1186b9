import asyncio
from collections.abc import AsyncIterator

import pytest

from littoral.workers import NotSupported, ReadableStream, TransformStream
from littoral.workers.streams import HIGH_WATER_CHUNKS, Controller, ReadResult, StreamLocked, _background


async def letters() -> AsyncIterator[object]:
    for chunk in ("a", b"b", "", bytearray(b"c")):
        yield chunk


def test_a_stream_is_read_by_one() -> None:
    async def scenario() -> None:
        stream = ReadableStream(letters())
        assert not stream.disturbed
        reader = stream.getReader()
        assert await reader.read() == ReadResult(done=False, value=b"a")  # type: ignore[arg-type]
        assert (stream.locked, stream.disturbed) == (True, True)
        with pytest.raises(StreamLocked, match="read already"):
            aiter(stream)
        reader.releaseLock()
        assert await stream.whole() == b"bc"

    asyncio.run(scenario())


def test_a_chunk_that_is_none_is_refused() -> None:
    async def numbers() -> AsyncIterator[object]:
        yield 1

    with pytest.raises(TypeError, match="bytes or str, not int"):
        asyncio.run(ReadableStream(numbers()).whole())


def test_branches_give_the_same_bytes_at_their_own_pace() -> None:
    async def scenario() -> None:
        one, other = ReadableStream(letters()).tee()
        assert await one.whole() == b"abc"
        assert [piece async for piece in other] == [b"a", b"b", b"c"]
        assert await asyncio.gather(*(part.whole() for part in ReadableStream(letters()).tee())) == [b"abc", b"abc"]

    asyncio.run(scenario())


def test_a_source_is_pulled_piece_by_piece() -> None:
    async def scenario() -> None:
        numbers = iter(range(3))

        def pull(controller: Controller) -> None:
            number = next(numbers, None)
            controller.close() if number is None else controller.enqueue(str(number))

        assert await ReadableStream.new(pull=pull).whole() == b"012"

    asyncio.run(scenario())


def test_a_source_that_is_started_may_go_on_by_itself() -> None:
    async def scenario() -> None:
        async def start(controller: Controller) -> None:
            for number in range(3):
                controller.enqueue(str(number))
                await asyncio.sleep(0)
            controller.close()

        assert [piece async for piece in ReadableStream.new({"start": start})] == [b"0", b"1", b"2"]

        async def fails(controller: Controller) -> None:
            await asyncio.sleep(0)
            raise RuntimeError("no source")

        with pytest.raises(RuntimeError, match="no source"):
            await ReadableStream.new(start=fails).whole()

    asyncio.run(scenario())


def test_a_source_that_is_not_wanted_any_more_is_told() -> None:
    async def scenario() -> None:
        told: list[object] = []
        stream = ReadableStream.new(pull=lambda controller: controller.enqueue("x"), cancel=told.append)
        reader = stream.getReader()
        await reader.read()
        await reader.cancel()
        assert told == [None]
        assert (await reader.read()).done

    asyncio.run(scenario())


def test_what_is_written_is_read_and_waits_for_the_reader() -> None:
    async def scenario() -> None:
        pipe = TransformStream.new()
        writer = pipe.writable.getWriter()
        for _ in range(HIGH_WATER_CHUNKS):
            await writer.write("x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await writer.write("y")
        reading = asyncio.get_running_loop().create_task(pipe.readable.whole())
        await writer.write("z")
        await writer.close()
        assert await reading == b"x" * HIGH_WATER_CHUNKS + b"z"
        with pytest.raises(TypeError, match="closed"):
            await writer.write("late")

    asyncio.run(scenario())


def test_a_pipe_passes_on_what_comes_and_what_fails() -> None:
    async def scenario() -> None:
        assert await ReadableStream(letters()).pipeThrough(TransformStream()).whole() == b"abc"

        async def fails() -> AsyncIterator[bytes]:
            yield b"a"
            raise RuntimeError("half way")

        with pytest.raises(RuntimeError, match="half way"):
            await ReadableStream(fails()).pipeThrough(TransformStream()).whole()

    asyncio.run(scenario())


def test_a_pipe_whose_end_is_dropped_ends() -> None:
    async def scenario() -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x"

        readable: ReadableStream | None = ReadableStream(endless()).pipeThrough(TransformStream())
        for _ in range(3):
            await asyncio.sleep(0)
        assert readable is not None
        assert len(_background) == 1
        readable = None
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(_background) == 0

    asyncio.run(scenario())


def test_transformers_say_that_they_are_not_there() -> None:
    with pytest.raises(NotSupported, match="Write an async generator"):
        TransformStream({"transform": print})
