"""What goes wrong where JavaScript would have thrown: code catches it as TypeError, as OSError, or as pyodide's JsException."""


class JsException(Exception):
    """In Pyodide, what JavaScript throws."""

    @property
    def name(self) -> str:
        """What JavaScript calls it."""
        return "Error"

    @property
    def message(self) -> str:
        """Its words."""
        return str(self)


class FetchError(JsException, TypeError):
    """A request of the function's own was not answered, or may not be made; the message says why."""

    @property
    def name(self) -> str:
        """What JavaScript calls it."""
        return "TypeError"


class AbortError(JsException):
    """What was under way was given up, because the function wanted it so."""

    def __init__(self, message: str = "The operation was aborted", name: str = "AbortError") -> None:
        super().__init__(message)
        self._name = name

    @property
    def name(self) -> str:
        """AbortError, or TimeoutError where a time was over."""
        return self._name
