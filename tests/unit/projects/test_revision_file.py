"""Revisions as files: whole, or refused."""

from pathlib import Path

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources import Namespace
from littoral.core.resources.decode import decode_resources
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.code_parts import pack_part
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.projects.revision_file import RevisionFile, read_revision, write_revision

TEXT = "apiVersion: littoral/v1\nkind: Namespace\nmetadata:\n  name: a\n"


def record(bundle: bytes | None = None) -> DesiredRecord:
    (resource,) = decode_resources(TEXT, "a.yaml")
    assert isinstance(resource, Namespace)
    return record_of(resource, bundle)


def test_what_is_written_is_read(tmp_path: Path):
    revision = RevisionFile([record(pack_bundle("a", {"a.py": b"1"}))], [record()])
    write_revision(tmp_path / "deep/a.revision", revision)
    assert read_revision(tmp_path / "deep/a.revision") == revision
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["a.revision"]


def test_one_that_is_cut_off_anywhere_is_refused(tmp_path: Path):
    path = tmp_path / "a.revision"
    write_revision(path, RevisionFile([record(pack_bundle("a", {"a.py": b"1"}))]))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match="a.revision: .* Build it again; what runs now goes on"):
            read_revision(path)


def test_one_that_was_changed_is_refused(tmp_path: Path):
    path = tmp_path / "a.revision"
    write_revision(path, RevisionFile([record()]))
    path.write_bytes(path.read_bytes().replace(b'"name":"a"', b'"name":"b"'))
    with pytest.raises(InvalidInput, match="Namespace/a in it is not what was built"):
        read_revision(path)


def test_code_that_was_changed_is_refused(tmp_path: Path):
    part, blob = pack_part("a", "own", {"a.py": b"1"})
    (resource,) = decode_resources(TEXT, "a.yaml")
    assert isinstance(resource, Namespace)
    made = RevisionFile([record_of(resource, None, [part])], [], {part.digest: blob})
    write_revision(tmp_path / "a.revision", made)
    assert read_revision(tmp_path / "a.revision") == made
    for blobs in ({part.digest: blob[:-1]}, {}):
        write_revision(tmp_path / "a.revision", RevisionFile(made.records, [], blobs))
        with pytest.raises(InvalidInput, match="the code of Namespace/a in it is not what was built"):
            read_revision(tmp_path / "a.revision")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "a.revision"
    path.mkdir()
    with pytest.raises(InvalidInput, match="cannot write"):
        write_revision(path, RevisionFile([record()]))
    assert [each.name for each in tmp_path.iterdir()] == ["a.revision"]


def test_what_is_no_revision_at_all(tmp_path: Path):
    (tmp_path / "a.revision").write_text("apiVersion: littoral/v1\n")
    with pytest.raises(InvalidInput, match="it is no revision that this version of Littoral built"):
        read_revision(tmp_path / "a.revision")
    with pytest.raises(InvalidInput, match="No such file"):
        read_revision(tmp_path / "b.revision")
