from typing import Any

import pytest

from littoral.wire.geo_records import CHARACTERS, NAMES, place_of

ZURICH = {
    "city": {"names": {"de": "Zürich", "en": "Zurich"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "CH", "names": {"en": "Switzerland"}},
    "location": {"latitude": 47.3667001, "longitude": 8.55, "time_zone": "Europe/Zurich", "accuracy_radius": 20},
    "postal": {"code": "8001"},
    "subdivisions": [{"iso_code": "ZH", "names": {"en": "Zurich"}}],
}
NETWORK = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"}


def test_a_place_is_told_as_workers_have_it():
    assert place_of([NETWORK, ZURICH]) == {
        "asOrganization": "Example Net",
        "asn": 64500,
        "city": "Zurich",
        "continent": "EU",
        "country": "CH",
        "latitude": "47.3667",
        "longitude": "8.55",
        "postalCode": "8001",
        "region": "Zurich",
        "regionCode": "ZH",
        "timezone": "Europe/Zurich",
    }
    assert place_of([{"country": {"iso_code": "FR", "is_in_european_union": True}}]) == {
        "country": "FR",
        "isEUCountry": "1",
    }
    assert place_of([{"location": {"metro_code": 819}}]) == {"metroCode": "819"}


def test_the_first_database_that_says_something_counts():
    assert place_of([None, {"country": {"iso_code": "DE"}}, ZURICH])["country"] == "DE"


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        "CH",
        [],
        {},
        {"country": "CH"},
        {"country": {"iso_code": ["CH"]}},
        {"country": {"iso_code": True, "is_in_european_union": "no"}},
        {"city": {"names": {"en": ""}}},
        {"subdivisions": []},
        {"subdivisions": {"0": "x"}},
        {"autonomous_system_number": "64500"},
    ],
    ids=repr,
)
def test_what_is_not_as_expected_says_nothing(record: Any):
    assert place_of([record]) == {}


def test_no_text_is_longer_than_a_name():
    assert len(str(place_of([{"city": {"names": {"en": "x" * 9999}}}])["city"])) == CHARACTERS


def test_all_names_are_known():
    assert place_of([ZURICH, NETWORK]).keys() < NAMES
