"""Telling somebody that what they do is not wanted any more (DOM Standard, section 3)."""

import asyncio
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from littoral.workers.failures import AbortError


class AbortEvent:
    """What listeners are called with."""

    __slots__ = ("target", "type")

    def __init__(self, target: "AbortSignal") -> None:
        self.type = "abort"
        self.target = target


class AbortSignal:
    """Whether something is wanted still."""

    __slots__ = ("_listeners", "aborted", "onabort", "reason")

    def __init__(self) -> None:
        self.aborted = False
        self.reason: Any = None
        self.onabort: Callable[..., Any] | None = None
        self._listeners: list[Callable[..., Any]] = []

    @classmethod
    def abort(cls, reason: Any = None) -> "AbortSignal":
        """One that is aborted."""
        signal = cls()
        signal._abort(reason)
        return signal

    @classmethod
    def timeout(cls, milliseconds: float) -> "AbortSignal":
        """One that is aborted after a time."""
        signal = cls()
        late = AbortError("The operation was aborted due to timeout", "TimeoutError")
        asyncio.get_running_loop().call_later(milliseconds / 1000, signal._abort, late)
        return signal

    @classmethod
    def any(cls, signals: Iterable["AbortSignal"]) -> "AbortSignal":
        """One that is aborted when one of these is."""
        made = cls()
        for signal in signals:
            if signal.aborted:
                made._abort(signal.reason)
            signal.addEventListener("abort", lambda event: made._abort(event.target.reason))
        return made

    @property
    def error(self) -> BaseException:
        """The reason, as something to raise."""
        return self.reason if isinstance(self.reason, BaseException) else AbortError(str(self.reason))

    def throwIfAborted(self) -> None:
        """Raises the reason, if it is aborted."""
        if self.aborted:
            raise self.error

    throw_if_aborted = throwIfAborted

    def addEventListener(self, kind: str, listener: Callable[..., Any], options: object = None) -> None:
        """Have `listener` called when it is aborted; at once is never."""
        if kind == "abort" and listener not in self._listeners:
            self._listeners.append(listener)

    def removeEventListener(self, kind: str, listener: Callable[..., Any], options: object = None) -> None:
        """Do not call it."""
        if kind == "abort" and listener in self._listeners:
            self._listeners.remove(listener)

    add_event_listener, remove_event_listener = addEventListener, removeEventListener

    def _abort(self, reason: Any = None) -> None:
        """It is not wanted any more. What a listener raises ends none of the others."""
        if self.aborted:
            return
        self.aborted, self.reason = True, AbortError() if reason is None else reason
        listeners, self._listeners = self._listeners, []
        for listener in [*listeners, self.onabort] if self.onabort is not None else listeners:
            try:
                listener(AbortEvent(self))
            except Exception as error:  # noqa: BLE001 - it is the function's code, and is told of in its log
                sys.stderr.write("exception in a listener of an AbortSignal\n")
                sys.stderr.write("".join(traceback.format_exception(error)))
                sys.stderr.flush()


class AbortController:
    """Aborts what was given its signal."""

    __slots__ = ("signal",)

    def __init__(self) -> None:
        self.signal = AbortSignal()

    @classmethod
    def new(cls) -> "AbortController":
        """As JavaScript's constructor."""
        return cls()

    def abort(self, reason: Any = None) -> None:
        """End it."""
        self.signal._abort(reason)
