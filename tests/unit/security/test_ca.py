"""The CA, its certificates, and what TLS makes of them."""

import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from littoral.core.errors import Forbidden, StartupError, Unavailable
from littoral.security.ca import AUTHORITY_PATH, CertificateAuthority, fingerprint_of, node_of, read_certificate
from littoral.security.identity import Identity
from littoral.testing.disk import SimDisk
from tests.support.tree import Tree


def test_a_certificate_names_its_node_and_serves_both_sides_for_90_days() -> None:
    tree = Tree()
    issued = tree.authority.sign(
        tree.key().request("eu", ["eu.example"]), "eu", ["eu.example"], tree.clock, tree.random
    )
    certificate = read_certificate(issued.certificate_pem)
    assert node_of(certificate) == "eu"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["eu", "localhost", "eu.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_after_ms == tree.clock.wall_ms() + 90 * 86_400_000
    assert int(issued.serial, 16) == certificate.serial_number


def test_serial_numbers_do_not_repeat() -> None:
    tree, key = Tree(), Tree().key()
    serials = {tree.authority.sign(key.request("eu"), "eu", [], tree.clock, tree.random).serial for _ in range(20)}
    assert len(serials) == 20


def test_a_request_for_another_node_is_refused() -> None:
    tree = Tree()
    with pytest.raises(Forbidden, match="its subject"):
        tree.authority.sign(tree.key().request("cloud"), "eu", [], tree.clock, tree.random)


def test_no_certificate_outlives_its_ca_and_an_expired_ca_signs_nothing() -> None:
    tree = Tree()
    csr = tree.key().request("eu")
    tree.clock.advance(days=3640)
    issued = tree.authority.sign(csr, "eu", [], tree.clock, tree.random)
    assert issued.not_after_ms == tree.clock.wall_ms() + 10 * 86_400_000
    tree.clock.advance(days=10)
    with pytest.raises(Unavailable, match="the CA expired on"):
        tree.authority.sign(csr, "eu", [], tree.clock, tree.random)


def test_the_ca_survives_on_disk_with_its_fingerprint() -> None:
    tree, disk = Tree(), SimDisk(Tree().random)
    assert CertificateAuthority.load(disk) is None
    tree.authority.save(disk)
    loaded = CertificateAuthority.load(disk)
    assert loaded is not None
    assert loaded.fingerprint == tree.authority.fingerprint == fingerprint_of(tree.authority.certificate_pem)


def test_a_damaged_or_mixed_up_ca_file_stops_the_root_with_a_reason() -> None:
    disk = SimDisk(Tree().random)
    Tree(1).authority.save(disk)
    key_of_one = (disk.read(AUTHORITY_PATH) or b"").partition(b"-----BEGIN CERTIFICATE")[0]
    disk.write(AUTHORITY_PATH, key_of_one + Tree(2).authority.certificate_pem)
    with pytest.raises(StartupError, match=r"do not belong together. Restore it from a backup"):
        CertificateAuthority.load(disk)
    disk.write(AUTHORITY_PATH, b"nonsense")
    with pytest.raises(StartupError, match="no PEM of an unencrypted private key"):
        CertificateAuthority.load(disk)


def context(identity: Identity, folder: Path, side: ssl._SSLMethod) -> ssl.SSLContext:
    """As strict as TLS libraries get."""
    made = ssl.SSLContext(side)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=identity.ca_pem.decode())
    path = folder / f"{identity.serial}.pem"
    path.write_bytes(identity.key.pem + identity.certificate_pem)
    made.load_cert_chain(path)
    return made


def shake_hands(client: Identity, server: Identity, folder: Path, host: str) -> None:
    """A TLS handshake in memory; raises ssl.SSLError on either side's refusal."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context(client, folder, ssl.PROTOCOL_TLS_CLIENT).wrap_bio(to_client, to_server, server_hostname=host)
    server_side = context(server, folder, ssl.PROTOCOL_TLS_SERVER).wrap_bio(to_server, to_client, server_side=True)
    waiting = [client_side, server_side]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert waiting == []


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A tree in the present: OpenSSL reads the real clock."""
    tree = Tree()
    tree.clock.set_wall(int(time.time() * 1000))
    tree.authority = CertificateAuthority.create("cloud", tree.clock, tree.random)
    return tree


@pytest.mark.parametrize("host", ["eu", "localhost", "127.0.0.1", "::1"])
def test_two_nodes_of_a_tree_trust_each_other(now: Tree, tmp_path: Path, host: str) -> None:
    shake_hands(now.identity("plant-a"), now.identity("eu"), tmp_path, host)


def test_a_node_is_not_taken_for_another(now: Tree, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        shake_hands(now.identity("plant-a"), now.identity("eu"), tmp_path, "cloud")


def test_the_certificate_of_another_ca_is_refused_by_client_and_server(now: Tree, tmp_path: Path) -> None:
    other = Tree(2)
    other.clock.set_wall(now.clock.wall_ms())
    other.authority = CertificateAuthority.create("cloud", other.clock, other.random)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(now.identity("plant-a"), other.identity("eu"), tmp_path, "eu")
    stranger = other.identity("plant-a")
    trusting = Identity(stranger.key, stranger.certificate_pem, stranger.ca_pem, stranger.facts)
    trusting._authority = read_certificate(now.authority.certificate_pem)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(trusting, now.identity("eu"), tmp_path, "eu")
