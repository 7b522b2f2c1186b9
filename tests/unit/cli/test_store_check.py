"""littoral store check, as a user calls it."""

import asyncio
import json
from pathlib import Path

import pytest

from littoral.cli.main import run
from tests.support.damage import change
from tests.support.stores import local_store, name


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    async def main() -> None:
        async with local_store(tmp_path / "plant-a") as store:
            await store.submit(lambda tx: tx.open_stream(name("plant-a/s")))
            await store.submit(lambda tx: tx.append(name("plant-a/s"), [b"one", b"two"]))

    asyncio.run(main())
    return tmp_path / "plant-a"


def test_a_sound_store_passes(data_dir, capsys):
    assert run(["store", "check", "--data-dir", str(data_dir)]) == 0
    said, errors = capsys.readouterr()
    assert said == (
        f"{data_dir}/store.db: store of plant-a, 1 streams, 1 batches, 2 records, 11 B, 0 folds, 0 keys\nno problems\n"
    )
    assert errors == ""


def test_damage_is_told_with_stream_offsets_and_remedy_and_fails(data_dir, capsys):
    change(data_dir / "store.db", "UPDATE batches SET crc=1")
    assert run(["store", "check", "--data-dir", str(data_dir)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [
        "plant-a/s [0, 2): its checksum does not match",
        "  Restore the latest sound backup: `littoral store restore`",
        "1 problem",
    ]


def test_the_same_as_json(data_dir, capsys):
    change(data_dir / "store.db", "UPDATE batches SET crc=1")
    assert run(["store", "check", "--data-dir", str(data_dir), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["node"], report["streams"], report["records"]) == ("plant-a", 1, 0)
    (problem,) = report["problems"]
    assert (problem["subject"], problem["first"], problem["next"]) == ("plant-a/s", 0, 2)


def test_a_node_of_the_local_tree_is_found_by_its_name(data_dir, tmp_path, capsys):
    nodes = {
        "cloud": {"dataDir": "none", "api": "http://x", "tier": "cloud"},
        "plant-a": {"dataDir": str(data_dir), "api": "http://y", "tier": "site", "parent": "cloud"},
    }
    (tmp_path / "tree.json").write_text(json.dumps({"nodes": nodes}))
    assert run(["store", "check", "--tree", str(tmp_path), "--node", "plant-a"]) == 0
    assert "no problems" in capsys.readouterr().out
    assert run(["store", "check", "--tree", str(tmp_path), "--node", "plant-b"]) == 1
    assert "It has cloud, plant-a" in capsys.readouterr().err


def test_what_is_no_store_is_an_error_and_is_not_made(tmp_path, capsys):
    assert run(["store", "check", "--data-dir", str(tmp_path / "none")]) == 1
    assert "there is no store" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert run(["store", "check", "--data-dir", "a", "--node", "b"]) == 2
