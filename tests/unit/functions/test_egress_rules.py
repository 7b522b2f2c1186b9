import pytest

from littoral.core.errors import Forbidden
from littoral.functions.egress_rules import EgressRules

URL = "http://somewhere/"


def rules(*entries, only_listed=False):
    return EgressRules("shop", entries, only_listed=only_listed)


def test_public_addresses_are_open_to_a_process_and_others_are_not():
    assert rules().check_host(URL, "example.com", 80) is None
    assert rules().admitted(URL, ["93.184.216.34"], 80) == ["93.184.216.34"]
    with pytest.raises(Forbidden, match=r"it leads to 10.0.0.1, a private address, .* add \"10.0.0.1\""):
        rules().admitted(URL, ["10.0.0.1"], 80)


def test_of_several_addresses_those_are_kept_that_may_be_connected_to():
    assert rules().admitted(URL, ["10.0.0.1", "1.1.1.1", "::1"], 80) == ["1.1.1.1"]


def test_an_address_is_connected_to_as_it_was_judged():
    assert rules("10.0.0.0/8").admitted(URL, ["::ffff:10.0.0.1"], 80) == ["10.0.0.1"]


def test_a_listed_name_does_not_open_the_way_to_a_private_address():
    with pytest.raises(Forbidden, match="169.254.169.254"):
        rules("metadata.example").admitted(URL, ["169.254.169.254"], 80)


def test_a_listed_network_does_at_its_port():
    listed = rules("10.0.0.0/8:5432")
    assert listed.admitted(URL, ["10.1.2.3"], 5432) == ["10.1.2.3"]
    with pytest.raises(Forbidden):
        listed.admitted(URL, ["10.1.2.3"], 80)


def test_in_a_sandbox_names_have_to_be_listed():
    sandbox = rules("api.example.com", "*.cdn.example:443", only_listed=True)
    sandbox.check_host(URL, "api.example.com", 8080)
    sandbox.check_host(URL, "a.cdn.example", 443)
    for host, port in (("a.cdn.example", 80), ("example.com", 443), ("1.1.1.1", 443), ("127.0.0.1", 80)):
        with pytest.raises(Forbidden, match="sandbox"):
            sandbox.check_host(URL, host, port)


def test_in_a_sandbox_addresses_that_are_listed_may_be_asked_by_their_number_only():
    sandbox = rules("10.0.0.7", only_listed=True)
    assert str(sandbox.check_host(URL, "10.0.0.7", 80)) == "10.0.0.7"
    with pytest.raises(Forbidden, match=r"\"evil.example:80\""):
        sandbox.check_host(URL, "evil.example", 80)


def test_a_star_opens_a_sandbox_to_public_addresses():
    sandbox = rules("*", only_listed=True)
    assert sandbox.check_host(URL, "example.com", 80) is None
    with pytest.raises(Forbidden):
        sandbox.admitted(URL, ["192.168.0.1"], 80)
