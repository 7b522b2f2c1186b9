"""What databases in MaxMind's format say of an address, by the names that Workers' `request.cf` has.

The members are those of GeoIP2 and GeoLite2 City, Country and ASN, which others' databases (DB-IP, IPLocate) have as well:
https://dev.maxmind.com/geoip/docs/databases/city-and-country
"""

from collections.abc import Iterable, Mapping
from typing import Any

CHARACTERS = 120
"""Most of one text: the names of places are shorter, and whoever made a database does not fill requests."""
_DECIMALS = 5
"""Of a degree: a metre, which no database knows."""
_LANGUAGE = "en"

_PATHS: dict[str, tuple[str | int, ...]] = {
    "asOrganization": ("autonomous_system_organization",),
    "asn": ("autonomous_system_number",),
    "city": ("city", "names", _LANGUAGE),
    "continent": ("continent", "code"),
    "country": ("country", "iso_code"),
    "latitude": ("location", "latitude"),
    "longitude": ("location", "longitude"),
    "metroCode": ("location", "metro_code"),
    "postalCode": ("postal", "code"),
    "region": ("subdivisions", 0, "names", _LANGUAGE),
    "regionCode": ("subdivisions", 0, "iso_code"),
    "timezone": ("location", "time_zone"),
}
_NUMBERS = frozenset({"asn"})
"""What Workers have as a number; all else is text there, degrees too."""
NAMES = frozenset({*_PATHS, "isEUCountry"})


def place_of(records: Iterable[object]) -> dict[str, str | int]:
    """What `records`, one of each database, say together; of two that say the same thing the first counts. What they do not say, or say
    in another form, is left out."""
    place: dict[str, str | int] = {}
    for record in records:
        for name, path in _PATHS.items():
            value = _value(name, _member(record, path))
            if value is not None:
                place.setdefault(name, value)
        if _member(record, ("country", "is_in_european_union")) is True:
            place.setdefault("isEUCountry", "1")
    return place


def _member(record: Any, path: tuple[str | int, ...]) -> object:
    for step in path:
        if isinstance(step, int):
            record = record[step] if isinstance(record, list) and len(record) > step else None
        else:
            record = record.get(step) if isinstance(record, Mapping) else None
    return record


def _value(name: str, found: object) -> str | int | None:
    if isinstance(found, bool):
        return None
    if name in _NUMBERS:
        return found if isinstance(found, int) else None
    if isinstance(found, int | float):
        return str(round(found, _DECIMALS))
    return found[:CHARACTERS] if isinstance(found, str) and found else None
