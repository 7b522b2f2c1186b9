"""Models of apps, in the process that runs them: what they are given and give, and what ends them."""

import asyncio

import pytest

from littoral.workers.ai import AI, AIError
from tests.support.inference import beside, endless, running_inference, square, twice


def run(main):
    async def timed():
        async with asyncio.timeout(20):
            await main()

    asyncio.run(timed())


async def refusal(ai: AI, *asked) -> str:
    with pytest.raises(AIError) as caught:
        await ai.run(*asked)
    return str(caught.value)


def test_a_model_is_run_with_lists_and_bytes_and_what_does_not_fit_is_named():
    async def main():
        async with running_inference() as node:
            ai = node.ai("shop")
            assert await ai.run("twice", {"x": [[1, 2.5], [3, 4]]}) == {"y": [[2, 5], [6, 8]]}
            assert await ai.run("@app/twice", {"x": b"\0\0\x80\x3f\0\0\0\x40"}) == {"y": [[2, 4]]}
            needs = 'its input "x" (float32 [any, 2]) was given'
            assert f"{needs} float64 [1, 3]" in await refusal(ai, "twice", {"x": [[1.0, 2.0, 3.0]]})
            assert f"{needs} int64 [2]" in await refusal(ai, "twice", {"x": [1, 2]})
            assert f"{needs} text [1, 2]" in await refusal(ai, "twice", {"x": [["a", "b"]]})
            assert f"{needs} lists that are no array" in await refusal(ai, "twice", {"x": [[1], [2, 3]]})
            assert f"{needs} 7 bytes, which are not that" in await refusal(ai, "twice", {"x": b"7 bytes"})
            assert 'it needs the input "x"' in await refusal(ai, "twice", {})
            assert 'it has no input "z"; it has: "x"' in await refusal(ai, "twice", {"x": [[1, 2]], "z": 1})
            assert "no such file" in await refusal(ai, "thrice", {})
            assert node.started == 1

    run(main)


def test_a_model_that_does_not_end_is_stopped_and_others_are_run_meanwhile():
    async def main():
        limits = {"inference-run-ms": 300}
        async with running_inference(limits=limits, models={"twice": twice(), "endless": endless()}) as node:
            ai = node.ai("shop")
            stopped = asyncio.create_task(refusal(ai, "endless", {"x": [[1, 2]]}))
            assert await ai.run("twice", {"x": [[1, 2]]}) == {"y": [[2, 4]]}
            assert "it did not end within 300 ms, which is the limit inference-run-ms" in await stopped
            assert node.started == 1

    run(main)


def test_one_that_cannot_be_stopped_ends_the_process_and_the_next_one_runs_models():
    async def main():
        async with running_inference(
            limits={"inference-run-ms": 2000}, models={"twice": twice(), "square": square()}
        ) as node:
            ai = node.ai("shop")
            # Loaded first, and with its matrices made within the limit even on a busy machine: what is left of it then
            # is one step, between whose parts it cannot be stopped.
            assert await ai.run("square", {"n": [2, 2]}) == {"y": 0}
            assert "ended twice" in await refusal(ai, "square", {"n": [8000, 8000]})
            assert "model square did not end within 2000 ms" in node.log()
            assert await ai.run("twice", {"x": [[1, 2]]}) == {"y": [[2, 4]]}
            assert node.started == 3

    run(main)


def test_one_that_wants_more_memory_than_there_may_be_fails_and_the_process_goes_on():
    async def main():
        async with running_inference(limits={"inference-memory-bytes": 100 << 20}, models={"square": square()}) as node:
            ai = node.ai("shop")
            assert "limit inference-memory-bytes" in await refusal(ai, "square", {"n": [20_000, 20_000]})
            assert await ai.run("square", {"n": [2, 2]}) == {"y": 0}
            assert node.started == 1

    run(main)


def test_a_model_reads_no_other_file():
    async def main():
        models = {
            "absolute": beside("/etc/hostname"),
            "above": beside("../../etc/hostname"),
            "here": beside("w.bin"),
            "junk": b"no",
        }
        async with running_inference(models=models) as node:
            for name in models:
                assert f"cannot load model {name}: ONNX Runtime says" in await refusal(
                    node.ai("shop"), name, {"x": [[1, 2]]}
                )

    run(main)


def test_a_worker_without_a_credential_of_a_placed_app_is_told_nothing():
    async def main():
        async with running_inference("shop", "other") as node:
            assert await node.ai("other", "other").run("twice", {"x": [[1, 2]]}) == {"y": [[2, 4]]}
            node.place("shop")
            assert "is not placed at this node any more" in await refusal(
                node.ai("other", "other"), "twice", {"x": [[1, 2]]}
            )
            with pytest.raises(AIError, match="this worker is of no app"):
                await _with_credential(node.ai("shop"), "shop 0 00").run("twice", {"x": [[1, 2]]})

    run(main)


def _with_credential(ai: AI, credential: str) -> AI:
    ai._runner._credential = credential  # type: ignore[attr-defined]
    return ai


def test_it_ends_when_nobody_wants_it_and_comes_when_somebody_does():
    async def main():
        async with running_inference(limits={"inference-idle-seconds": 1}) as node:
            ai = node.ai("shop")
            await ai.run("twice", {"x": [[1, 2]]})
            assert await asyncio.to_thread(node.wait) == 0
            assert await ai.run("twice", {"x": [[1, 2]]}) == {"y": [[2, 4]]}
            assert node.started == 2

    run(main)


def test_no_more_runs_wait_than_may_and_outputs_have_their_bound():
    async def main():
        limits = {"inference-queue": 1, "inference-threads": 1, "inference-run-ms": 500, "inference-bytes": 4096}
        async with running_inference(limits=limits, models={"twice": twice(), "endless": endless()}) as node:
            ai = node.ai("shop")
            asked = {"x": [[1, 2]]}
            said = await asyncio.gather(*(refusal(ai, "endless", asked) for _ in range(3)))
            assert sum("has 1 runs waiting, which is the limit inference-queue" in each for each in said) == 1
            # Halves take three bytes as they come, and nine as they go.
            most = {"x": [[0, 1]] * 500}
            assert "which is the limit inference-bytes" in await refusal(ai, "twice", most)

    run(main)
