import pytest

from littoral.workers import AbortController, AbortSignal, Request
from littoral.workers.failures import AbortError


def test_listeners_hear_of_it_once_and_one_that_fails_ends_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    controller = AbortController.new()
    signal = controller.signal
    heard: list[str] = []

    def fail(event: object) -> None:
        raise ZeroDivisionError

    def listen(event: object) -> None:
        heard.append("listener")

    signal.addEventListener("abort", fail)
    signal.addEventListener("abort", listen)
    signal.addEventListener("abort", listen)
    signal.addEventListener("other", listen)
    signal.onabort = lambda event: heard.append(event.type)
    signal.throwIfAborted()
    controller.abort()
    controller.abort("again")
    assert heard == ["listener", "abort"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(AbortError):
        signal.throwIfAborted()


def test_a_reason_is_what_is_raised() -> None:
    with pytest.raises(KeyError):
        AbortSignal.abort(KeyError("x")).throwIfAborted()
    with pytest.raises(AbortError, match="too late"):
        AbortSignal.abort("too late").throwIfAborted()


def test_a_request_and_its_copies_have_one_signal() -> None:
    request = Request("http://edge.test/")
    assert request.clone().signal is request.signal
    assert request.js_object.signal is request.signal
    assert not request.signal.aborted
