"""Where webhooks may go."""

import pytest

from littoral.streams.subscriptions.targets import WebhookTargets
from littoral.wire.subscriptions import Refused

PRIVATE = [
    "127.0.0.1",
    "127.255.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "2002:a00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:0:7f00:1:0:0:80ff:fffe",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


def url_of(address: str) -> str:
    return f"https://[{address}]/hook" if ":" in address else f"https://{address}/hook"


def rejected(targets: WebhookTargets, url: str) -> bool:
    try:
        targets.check(url)
    except Refused:
        return True
    return False


def test_a_rejection_says_what_to_do():
    with pytest.raises(Refused, match=r"not https. The node's spec\.streams\.webhooks\.allow") as refused:
        WebhookTargets([]).check("http://worker.example")
    assert (refused.value.code, refused.value.status) == ("WEBHOOK_URL_REJECTED", 400)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_neither_named_nor_connected_to(address: str):
    targets = WebhookTargets([])
    assert rejected(targets, url_of(address))
    assert not targets.admits("https://worker.example/")(address), "what a name means may be such a one"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_admitted(address: str):
    targets = WebhookTargets([])
    targets.check(url_of(address))
    assert targets.admits("https://worker.example/")(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "worker.example",
        "//worker.example/",
        "http://worker.example/",
        "ftp://worker.example/",
        "file:///etc/passwd",
        "https://",
        "https:worker.example",
        "https:///worker.example",
        "https://user@worker.example/",
        "https://user:secret@worker.example/",
        "https://worker.example/#x",
        "https://worker.example\\@10.0.0.1/",
        "https://worker.example/a b",
        "https://worker.example/\n",
        "https://wörker.example/",
        "https://worker%2eexample/",
        "https://worker_1.example/",
        "https://worker.example:0/",
        "https://worker.example:65536/",
        "https://worker.example:x/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
        "https://intranet/",
        "https://2130706433/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0x7f.1/",
        "https://127.0.0.0x1/",
        "https://0177.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        f"https://worker.example/{'x' * 2048}",
    ],
)
def test_a_url_that_leads_elsewhere_or_nowhere_is_rejected(url: str):
    assert rejected(WebhookTargets([]), url)


@pytest.mark.parametrize(
    "url", ["https://worker.example", "https://worker.example:8443/a/b?c=d", "https://Worker-1.example./%20"]
)
def test_https_to_a_public_name_is_what_is_allowed_by_itself(url: str):
    assert not rejected(WebhookTargets([]), url)


@pytest.mark.parametrize(
    ("allow", "url", "allowed"),
    [
        ("http://127.0.0.1:*", "http://127.0.0.1:8080/hook", True),
        ("http://127.0.0.1:*", "http://127.0.0.1/hook", True),
        ("http://127.0.0.1:*", "https://127.0.0.1/hook", False),
        ("http://127.0.0.1:*", "http://127.0.0.2/hook", False),
        ("http://127.0.0.1:*", "http://localhost/hook", False),
        ("http://127.0.0.1", "http://127.0.0.1:80/hook", True),
        ("http://127.0.0.1", "http://127.0.0.1:8080/hook", False),
        ("http://[::1]:*", "http://[0:0::1]:9/hook", True),
        ("http://localhost:*", "http://LOCALHOST:9/hook", True),
        ("https://*.plant.example", "https://a.plant.example/hook", True),
        ("https://*.plant.example", "https://a.b.plant.example/hook", True),
        ("https://*.plant.example", "https://a.plant.example:8443/hook", True),
        ("http://*.plant.example", "http://a.plant.example/hook", True),
        ("http://*.plant.example", "http://a.plant.example:81/hook", False),
        ("http://*.plant.example", "http://plant.example/hook", False),
        ("http://*.plant.example", "http://evilplant.example/hook", False),
        ("http://*.plant.example", "http://a.plant.example.evil.example/hook", False),
        ("http://*.plant.example", "http://user@a.plant.example/hook", False),
    ],
)
def test_what_the_document_allows_is_allowed_besides(allow: str, url: str, *, allowed: bool):
    assert rejected(WebhookTargets([allow]), url) is not allowed


def test_an_address_that_is_allowed_is_connected_to_and_no_other():
    admits = WebhookTargets(["http://127.0.0.1:*"]).admits("http://127.0.0.1:80/")
    assert [admits(address) for address in ("127.0.0.1", "127.0.0.2", "8.8.8.8", "x")] == [True, False, False, False]


def test_a_name_that_is_allowed_may_be_anywhere_but_where_clouds_keep_secrets():
    admits = WebhookTargets(["https://*.plant.example"]).admits("https://a.plant.example/")
    assert all(admits(address) for address in ("10.0.0.1", "127.0.0.1", "fd00::1", "8.8.8.8"))
    assert not any(admits(address) for address in ("169.254.169.254", "fe80::1", "::ffff:169.254.1.1", "0.0.0.0", "x"))
