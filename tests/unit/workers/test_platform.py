"""What code finds of the platform where one process runs several apps."""

from collections.abc import Awaitable
from contextvars import Context

import pytest

from littoral.workers import Env, env, wait_until
from littoral.workers.platform import Platform, has_background, install, take_seat


def seated(name: str, given: list[str]) -> Context:
    def background(work: Awaitable[object]) -> None:
        given.append(name)

    context = Context()
    context.run(take_seat, Platform(background=background), Env({"NAME": name}))
    return context


async def nothing() -> None:
    """Is never run."""


def test_each_app_has_its_own_in_the_contexts_that_its_code_runs_in():
    given: list[str] = []
    a, b = seated("a", given), seated("b", given)
    install(Platform(), Env({}))
    assert (a.run(lambda: env.NAME), b.run(lambda: env.NAME)) == ("a", "b")
    assert a.run(list, env) == ["NAME"]
    assert a.run(repr, env) == "<Env NAME>"
    work = nothing()
    b.run(wait_until, work)
    work.close()
    assert given == ["b"]
    assert not has_background()
    with pytest.raises(AttributeError, match="this app has: none"):
        _ = env.NAME
    with pytest.raises(AttributeError, match="this app has: NAME"):
        a.run(lambda: env.OTHER)
