"""The document of a node that runs is looked at again."""

import os
from pathlib import Path

from littoral.core.resources import Node
from littoral.node.document_watch import DocumentWatch

DOCUMENT = "apiVersion: littoral/v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{tier: {tier}}}\n"


def test_a_document_that_has_changed_is_taken_if_it_is_good_and_this_nodes(tmp_path: Path):
    path = tmp_path / "node.yaml"
    taken: list[Node] = []
    warned: list[str] = []
    watch = DocumentWatch(path, "n", taken.append, warned.append)
    written = 0

    def write(text: str) -> bool:
        nonlocal written
        written += 1
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(written, written))
        return watch.look()

    assert not watch.look()
    assert write(DOCUMENT.format(name="n", tier="site"))
    assert not watch.look()
    assert write(DOCUMENT.format(name="n", tier="cloud"))
    assert [each.spec.tier for each in taken] == ["site", "cloud"]
    assert not write(DOCUMENT.format(name="n", tier="moon"))
    assert not write(DOCUMENT.format(name="other", tier="site"))
    assert not write("kind: [")
    assert [len(taken), len(warned)] == [2, 3]
    assert "spec.tier" in warned[0]
    assert "no document of the node n" in warned[1]
