"""The page on the access log describes what there is."""

import re
from pathlib import Path

from littoral.core.resources.access_log import DEFAULT_FIELDS, FIELDS, SECRET

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "access-log.md"


def test_every_field_is_described_with_whether_it_is_written_by_default():
    text = PAGE.read_text(encoding="utf-8")
    described = re.findall(r"^\| `([a-z_]+)` \| (yes)? ?\|", text, re.MULTILINE)
    assert {name for name, _ in described} == set(FIELDS)
    assert [name for name, default in described if default] == list(DEFAULT_FIELDS)
    assert all(f"`{name}`" in text for name in SECRET)
