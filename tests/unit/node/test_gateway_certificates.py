import os
import ssl
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.core.resources.web import CertificateFiles, GatewayTls
from littoral.node.gateway_certificates import GatewayCertificates
from tests.support.certificates import TestCa


def files(folder: Path, name: str = "shop.test") -> CertificateFiles:
    issued = TestCa("ca").issue(name, names=(name,))
    (folder / "certificate.pem").write_bytes(issued.certificate)
    (folder / "key.pem").write_bytes(issued.key)
    return CertificateFiles(certificate=str(folder / "certificate.pem"), key=str(folder / "key.pem"))


def test_files_that_change_are_shown_and_those_that_cannot_be_used_are_not(tmp_path: Path) -> None:
    log: list[str] = []
    named = files(tmp_path)
    certificates = GatewayCertificates(GatewayTls(certificates=[named]))

    def shown() -> ssl.SSLContext:
        return certificates.shown._default

    first = shown()
    certificates.look(log.append)
    assert shown() is first
    files(tmp_path)
    os.utime(named.certificate, ns=(1, 1))
    certificates.look(log.append)
    second = shown()
    assert second is not first
    Path(named.key).write_bytes(b"no key")
    for _ in range(2):
        certificates.look(log.append)
    assert shown() is second
    assert len(log) == 1
    assert named.key in log[0]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    named = files(tmp_path)
    Path(named.key).unlink()
    with pytest.raises(StartupError, match=named.key):
        GatewayCertificates(GatewayTls(certificates=[named]))
