from ipaddress import ip_address

import pytest

from littoral.core.egress import EgressRule, address_of, kind_of


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("api.Example.com", EgressRule("api.example.com")),
        ("api.example.com:8443", EgressRule("api.example.com", "", 8443)),
        ("*.example.com", EgressRule("*.example.com")),
        ("*", EgressRule("*")),
        ("*:443", EgressRule("*", "", 443)),
        ("10.1.2.3", EgressRule("", "10.1.2.3/32")),
        ("10.1.0.0/16:80", EgressRule("", "10.1.0.0/16", 80)),
        ("fd00::1", EgressRule("", "fd00::1/128")),
        ("fd00::1:8080", EgressRule("", "fd00::1:8080/128")),
        ("[fd00::1]:8080", EgressRule("", "fd00::1/128", 8080)),
        ("fd00::/8", EgressRule("", "fd00::/8")),
    ],
)
def test_entries(entry, rule):
    assert EgressRule.parse(entry) == rule


@pytest.mark.parametrize(
    "entry",
    ["", "http://a.example", "a.*.example", "*a.example", "a.example:0", "a.example:70000", "10.1.2.3/8", "a b"],
)
def test_what_is_no_entry_says_so(entry):
    with pytest.raises(ValueError, match="found"):
        EgressRule.parse(entry)


def test_names_and_ports():
    below = EgressRule.parse("*.example.com:443")
    assert below.names("api.example.com", 443)
    assert not below.names("api.example.com", 80)
    assert not below.names("example.com", 443)
    assert not below.names("evilexample.com", 443)
    assert not EgressRule.parse("10.0.0.0/8").names("10.1.2.3", 80)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.9",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "100.127.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.0.192",
        "198.18.0.1",
        "198.51.100.1",
        "::",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:0a00:1::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert kind_of(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"],
)
def test_public_addresses(address):
    assert not kind_of(ip_address(address))


def test_an_address_of_ipv4_in_one_of_ipv6_is_the_former():
    assert str(address_of("::ffff:10.0.0.1")) == "10.0.0.1"
    assert str(address_of("fe80::1%eth0")) == "fe80::1"
    assert address_of("example.com") is None
    assert address_of("2130706433") is None
