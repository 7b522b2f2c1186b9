"""What the page about projects says of keys and of what is left out."""

import re
from pathlib import Path

from littoral.projects.wrangler_keys import REFUSED, UNDERSTOOD

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "build-a-project.md"


def test_the_page_lists_the_keys_that_are_understood_and_those_that_are_refused():
    text = PAGE.read_text(encoding="utf-8")
    refused = re.search(r"is not built: (.*?)\.\n", text, re.DOTALL)
    assert refused is not None
    assert re.findall(r"`(\w+)`", refused[1]) == sorted(REFUSED)
    table = re.search(r"\| of a wrangler file .*?\n\n", text, re.DOTALL)
    assert table is not None
    assert set(re.findall(r"`(\w+)`", table[0])) >= UNDERSTOOD - {"env"}
