import asyncio

import pytest

from littoral.workers import Blob, File


def test_a_blob_is_its_parts() -> None:
    async def scenario() -> None:
        blob = Blob(["some ", b"st", bytearray(b"ri"), memoryview(b"ng"), Blob("!")], "Text/Plain")
        assert (await blob.text(), blob.size, blob.type, blob.content_type) == (
            "some string!",
            12,
            "text/plain",
            "text/plain",
        )
        assert (await blob.bytes(), (await blob.arrayBuffer()).byteLength) == (b"some string!", 12)
        assert await blob.slice(5, -1).text() == "string"
        assert [piece async for piece in blob.stream()] == [b"some string!"]

    asyncio.run(scenario())


def test_one_blob_gives_its_type_on_and_a_list_of_one_does_not() -> None:
    blob = Blob("x", "text/css")
    assert Blob(blob).content_type == "text/css"
    assert Blob(blob, "a/b").content_type == "a/b"
    assert Blob([blob]).content_type == ""


def test_a_file_has_a_name_and_a_time() -> None:
    file = File("x", "a.txt", "text/plain", last_modified=5)
    assert (file.name, file.lastModified, file.content_type) == ("a.txt", 5, "text/plain")
    assert (File(file, "b.txt").last_modified, File("x", "c").last_modified) == (5, 0)


def test_line_ends_may_be_made_native() -> None:
    assert asyncio.run(Blob("a\r\nb", endings="native").text()) == "a\nb"
    assert asyncio.run(Blob("a\r\nb").text()) == "a\r\nb"


def test_another_part_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        Blob([1])  # type: ignore[list-item]
