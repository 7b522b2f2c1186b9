"""Whether an app may send a request somewhere.

    isolation     names that may be asked    addresses that may be connected to
    process       all                        public ones, and those listed
    sandbox       those listed               public ones, and those listed

A name never opens the way to an address that is not public: whoever has the name decides where it leads. So the address that is
connected to is what is looked at, after the name was looked up. In `sandbox` a name that is not listed is not even looked up: what
is asked of a name server is seen by who has the domain.
"""

from collections.abc import Iterable, Sequence

from littoral.core.egress import Address, EgressRule, address_of, kind_of
from littoral.core.errors import Forbidden


class EgressRules:
    """Of one app."""

    def __init__(self, app: str, entries: Iterable[str], *, only_listed: bool) -> None:
        """entries: as `littoral.core.egress` has them. only_listed: whether nothing else may be asked. Raises ValueError."""
        self._app = app
        self._rules = [EgressRule.parse(entry) for entry in entries]
        self._only_listed = only_listed

    def check_host(self, url: str, host: str, port: int) -> Address | None:
        """Before the host is looked up; returns its address where it is one. host: in lower case. Raises Forbidden."""
        address = address_of(host)
        if not self._only_listed or any(rule.names(host, port) for rule in self._rules):
            return address
        if address is not None and any(rule.holds(address, port) for rule in self._rules):
            return address
        entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise self._refused(url, f"the app is in a sandbox, and its spec.egress does not list {host}", entry)

    def admitted(self, url: str, addresses: Sequence[str], port: int) -> list[str]:
        """Those that may be connected to. Raises Forbidden where there is none."""
        kept: list[str] = []
        refused = ""
        kind = ""
        for text in addresses:
            address = address_of(text)
            assert address is not None, text
            if not (kind := kind_of(address)) or any(rule.holds(address, port) for rule in self._rules):
                # Connected to as it was judged, however it was written.
                kept.append(str(address))
            else:
                refused = refused or f"it leads to {address}, {kind}"
        if not kept:
            raise self._refused(url, f"{refused}, which spec.egress of the app does not list", str(address))
        return kept

    def _refused(self, url: str, cause: str, entry: str) -> Forbidden:
        return Forbidden(
            "fetch", url, cause, f'If app {self._app} may ask there, add "{entry}" or what holds it to its spec.egress'
        )
