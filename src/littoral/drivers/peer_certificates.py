"""What a listener for child nodes shows, and which certificates it takes: those that the tree's CA has signed. The files are read
again when they have changed, which they do while the node runs."""

import os
import ssl

from msgspec import Struct

from littoral.core.errors import StartupError


class PeerFiles(Struct, frozen=True):
    """PEM files of a node's identity."""

    ca: str
    certificate: str
    key: str


class PeerCertificates:
    """Mutual TLS 1.3, HTTP/1.1."""

    def __init__(self, files: PeerFiles) -> None:
        """Raises StartupError where a file is missing or wrong."""
        self._files = files
        self._seen = self._changes()
        # Sockets are made from this one; what they show and trust is the newest (`_choose`).
        self.context = self._newest = self._new_context()
        self.context.sni_callback = self._choose

    def _new_context(self) -> ssl.SSLContext:
        files = self._files
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
            context.load_cert_chain(files.certificate, files.key)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                "load TLS files",
                f"{files.ca}, {files.certificate}, {files.key}",
                error.strerror or str(error),
                "They are the node's identity: see docs/howto/back-up-and-restore.md",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        # Who resumes a session is not looked at again.
        context.num_tickets = 0
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """At each handshake, whatever name is asked for. Those are few: connections are kept."""
        changes = self._changes()
        if changes != self._seen:
            try:
                self._newest = self._new_context()
            except StartupError:
                pass  # Being written: what was shown before is shown on, and they are looked at again.
            else:
                self._seen = changes
        connection.context = self._newest

    def _changes(self) -> list[tuple[int, int]]:
        """When each file was changed, and how large it is."""
        changes = []
        for path in (self._files.ca, self._files.certificate, self._files.key):
            try:
                stat = os.stat(path)
            except OSError:
                changes.append((0, 0))
            else:
                changes.append((stat.st_mtime_ns, stat.st_size))
        return changes
