"""Which streams a store holds of one origin, without looking at all of them: a parent is asked at every hello."""

from littoral.core.names import StreamName
from littoral.store.store import Store
from littoral.store.stream import StreamInfo


class Origins:
    """Follows the store it is made for."""

    def __init__(self, store: Store) -> None:
        self._names: dict[str, dict[StreamName, None]] = {}
        for info in store.streams():
            self._changed(info)
        store.watch(self._changed, self._deleted)

    def streams_of(self, origin: str) -> list[StreamName]:
        """By name."""
        return sorted(self._names.get(origin, ()))

    def _changed(self, info: StreamInfo) -> None:
        self._names.setdefault(info.name.origin, {})[info.name] = None

    def _deleted(self, name: StreamName) -> None:
        names = self._names.get(name.origin, {})
        names.pop(name, None)
        if not names:
            self._names.pop(name.origin, None)
