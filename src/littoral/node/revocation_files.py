"""The revocation lists of a listener, read again when their files change. What cannot be read lets nobody in."""

from collections.abc import Sequence
from pathlib import Path

from littoral.core.errors import LittoralError
from littoral.drivers.changed_file import ChangedFile
from littoral.security.revocation import LIST_BYTES_MOST, CertificateMark, RevocationLists, read_revocation_lists


class RevocationFiles:
    """Those that a node's document names for one listener."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Raises StartupError, InvalidInput."""
        self._files = [ChangedFile(path, LIST_BYTES_MOST) for path in paths]
        self._lists: RevocationLists | None = self._read()
        self._said: str | None = None

    @property
    def paths(self) -> list[Path]:
        """Of the files."""
        return [Path(each.path) for each in self._files]

    @property
    def pem(self) -> bytes:
        """What handshakes go by. Nothing, where a file cannot be read: then no certificate is good."""
        return b"" if self._lists is None else self._lists.pem

    def refuses(self, mark: CertificateMark) -> bool:
        """Whether who shows a certificate is not let in by the lists."""
        return self._lists is None or self._lists.has(mark)

    def has(self, mark: CertificateMark) -> bool:
        """Whether a certificate is known to be revoked."""
        return self._lists is not None and self._lists.has(mark)

    def read_again(self) -> str | None:
        """Go by what the files say now. What is wrong with them, in words; None where nothing is."""
        try:
            self._lists = self._read()
        except LittoralError as error:
            self._lists = None
            return str(error)
        return None

    def overdue(self, now_ms: int) -> str | None:
        """What there is to say of lists that are out of date, once for each."""
        found = None if self._lists is None else self._lists.overdue(now_ms)
        said, self._said = self._said, found
        return None if found is None or found == said else found

    def _read(self) -> RevocationLists:
        return RevocationLists(
            found for file in self._files for found in read_revocation_lists(file.read(), str(file.path))
        )
