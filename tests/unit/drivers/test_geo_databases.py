"""Real files in MaxMind's format, read by its library."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.drivers.geo_databases import GeoDatabases
from littoral.wire.client_facts import PLACE
from tests.support.geo import write_database

CITY = {"203.0.113.0/24": {"country": {"iso_code": "CH"}, "city": {"names": {"en": "Zürich"}}}}
ASN = {"203.0.112.0/22": {"autonomous_system_number": 64500}}


def play(story: Callable[[GeoDatabases, list[str]], None]) -> None:
    said: list[str] = []
    databases = GeoDatabases(said.append)
    story(databases, said)
    databases.close()
    assert databases.fields_of("203.0.113.9") == ()


def test_what_several_databases_say_of_an_address_is_told_in_fields(tmp_path: Path):
    def story(databases: GeoDatabases, said: list[str]) -> None:
        paths = [write_database(tmp_path / "city.mmdb", CITY), write_database(tmp_path / "asn.mmdb", ASN)]
        databases.use([str(path) for path in paths])
        (country, place) = databases.fields_of("203.0.113.9")
        assert country == ("cf-ipcountry", "CH")
        assert place[0] == PLACE
        assert place[1].isascii()
        assert json.loads(place[1]) == {"asn": 64500, "city": "Zürich", "country": "CH"}
        assert databases.fields_of("203.0.112.1") == ((PLACE, '{"asn":64500}'),)
        for unknown in ("198.51.100.1", "::1", "2001:db8::1", "no address", ""):
            assert databases.fields_of(unknown) == ()
        assert said == []

    play(story)


def test_a_file_that_takes_the_place_of_another_is_read(tmp_path: Path):
    def story(databases: GeoDatabases, said: list[str]) -> None:
        path = write_database(tmp_path / "city.mmdb", CITY)
        databases.use([str(path)])
        assert databases.fields_of("203.0.113.9")[0] == ("cf-ipcountry", "CH")
        write_database(path, {"203.0.113.0/24": {"country": {"iso_code": "FR"}}})
        assert databases.fields_of("203.0.113.9")[0] == ("cf-ipcountry", "CH")
        databases.use([str(path)])
        assert databases.fields_of("203.0.113.9")[0] == ("cf-ipcountry", "FR")
        assert said == []

    play(story)


@pytest.mark.parametrize(
    "content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com\xff"], ids=["none", "empty", "text", "cut"]
)
def test_a_file_that_cannot_be_read_is_told_once_and_what_was_known_stays(tmp_path: Path, content: bytes | None):
    def story(databases: GeoDatabases, said: list[str]) -> None:
        path = tmp_path / "city.mmdb"
        for _ in range(2):
            databases.use([str(path)])
        assert len(said) == 1
        write_database(path, CITY)
        databases.use([str(path)])
        assert databases.fields_of("203.0.113.9")[0] == ("cf-ipcountry", "CH")
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        for _ in range(2):
            databases.use([str(path)])
        assert len(said) == 2
        assert f"cannot read geo database {path}: " in said[1]
        assert databases.fields_of("203.0.113.9")[0] == ("cf-ipcountry", "CH")

    play(story)


def test_a_country_that_is_none_is_not_told(tmp_path: Path):
    def story(databases: GeoDatabases, said: list[str]) -> None:
        path = write_database(tmp_path / "city.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "C\r\nx: y"}}})
        databases.use([str(path)])
        ((name, value),) = databases.fields_of("203.0.113.9")
        assert (name, value) == (PLACE, '{"country":"C\\r\\nx: y"}')

    play(story)
