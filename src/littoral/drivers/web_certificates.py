"""What a TLS listener shows: the certificate with the name that was asked for."""

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from littoral.core.errors import StartupError

TlsVersion = Literal["tls1.2", "tls1.3"]
_VERSIONS = {"tls1.2": ssl.TLSVersion.TLSv1_2, "tls1.3": ssl.TLSVersion.TLSv1_3}


class CertificateFiles(Struct, frozen=True):
    """PEM files that belong together."""

    certificate: Path
    """Followed by the chain to its CA."""
    key: Path


class ClientTrust(Struct, frozen=True):
    """Clients show certificates, too."""

    ca: Path
    """PEM: who signs them."""
    required: bool
    """Whether a client without one is turned away."""
    revoked: bytes | None = None
    """Revocation lists, PEM; they have to be there for each CA between a certificate and the root, and good now. Empty: no certificate
    is good. None: nobody asks for any."""


class WebCertificates:
    """The names of each certificate are those it has itself; the first is shown to who asks for none of them."""

    def __init__(
        self,
        files: Sequence[CertificateFiles],
        minimum: TlsVersion = "tls1.2",
        *,
        protocols: Sequence[str] = ("h2", "http/1.1"),
        clients: ClientTrust | None = None,
    ) -> None:
        """protocols: that may be agreed on (ALPN). Raises StartupError where a file is missing or wrong."""
        self._minimum = minimum
        self._protocols = list(protocols)
        self._clients = clients
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._default = self._load(files)
        # Sockets are made from this one, and keep it: session tickets stay good whatever is shown.
        self.context = self._new_front(files)

    def replace(self, files: Sequence[CertificateFiles], clients: ClientTrust | None = None) -> None:
        """Show these to who connects from now on; open connections go on. clients: which certificates are taken; None: as before.
        Raises StartupError, and then changes nothing."""
        before, self._clients = self._clients, clients or self._clients
        try:
            default = self._load(files)
            if self._clients is not None:
                # TLS 1.2 resumes what this context remembers, and does not look at the certificate again.
                self.context = self._new_front(files)
        except StartupError:
            self._clients = before
            raise
        self._default = default

    def _new_front(self, files: Sequence[CertificateFiles]) -> ssl.SSLContext:
        context = self._new_context(files[0])
        context.sni_callback = self._choose
        return context

    def _load(self, files: Sequence[CertificateFiles]) -> ssl.SSLContext:
        if not files:
            raise StartupError("load TLS files", "of a listener", "there is no certificate", "Name one at least")
        contexts = [self._new_context(each) for each in files]
        by_name: dict[str, ssl.SSLContext] = {}
        for each, context in zip(files, contexts, strict=True):
            for name in _names(each):
                by_name.setdefault(name, context)
        self._by_name = by_name
        return contexts[0]

    def _new_context(self, files: CertificateFiles) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(self._protocols)
        named = f"{files.certificate}, {files.key}"
        try:
            context.load_cert_chain(files.certificate, files.key)
            if self._clients is not None:
                named = str(self._clients.ca)
                self._trust(context, self._clients)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                "load TLS files",
                named,
                error.strerror or str(error),
                "Check that the files exist, are PEM, belong together and can be read by this user",
            ) from error
        return context

    @staticmethod
    def _trust(context: ssl.SSLContext, clients: ClientTrust) -> None:
        context.load_verify_locations(clients.ca)
        context.verify_mode = ssl.CERT_REQUIRED if clients.required else ssl.CERT_OPTIONAL
        # Who resumes a session is not looked at again.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        if clients.revoked is not None:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
            _add_lists(context, clients.revoked)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked = (name or "").lower().rstrip(".")
        found = self._by_name.get(asked) or self._by_name.get(f"*.{asked.partition('.')[2]}")
        connection.context = found or self._default


def _add_lists(context: ssl.SSLContext, pem: bytes) -> None:
    """What `ssl` reads from files only. From a file of ours in memory: theirs may be another one by now, or have certificates in it,
    which would be trusted."""
    if not pem:
        return
    with os.fdopen(os.memfd_create("revocation lists"), "wb") as file:
        file.write(pem)
        file.flush()
        context.load_verify_locations(f"/proc/self/fd/{file.fileno()}")


def _names(files: CertificateFiles) -> list[str]:
    """Those that the certificate is for, in lower case; "*.example.org" is for one label more (RFC 9525, section 6.3)."""
    # Many gateways have no TLS of their own: without this they start a tenth sooner.
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in said.get_values_for_type(x509.DNSName)]
