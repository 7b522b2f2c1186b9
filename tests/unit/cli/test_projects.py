"""littoral init and littoral build."""

from pathlib import Path

import pytest

from littoral.cli.main import run
from littoral.projects.revision_file import read_revision
from littoral.projects.templates import TEMPLATES
from tests.support.wheels import make_wheel, only_from


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_init_makes_is_built_without_a_word(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    make_wheel(tmp_path / "index", "markupsafe", "3.0")
    for name, value in only_from(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert run(["init", "My Shop", "--template", template]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "littoral dev My Shop"
    assert run(["build", "My Shop"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    summary, command = said.out.splitlines()
    assert summary.startswith("App my-shop, revision ")
    path = Path(command.removeprefix("littoral apply "))
    assert path.is_relative_to("My Shop/.littoral")
    revision = read_revision(path)
    assert path.name == f"my-shop-{revision.records[0].revision}.revision" or template == "kv"


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["init", str(tmp_path / "shop")]) == 0
    (tmp_path / "shop/wrangler.jsonc").unlink()
    (tmp_path / "shop/src/entry.py").write_text("mine\n")
    assert run(["init", str(tmp_path / "shop")]) == 1
    assert "is there already\nChoose another folder" in capsys.readouterr().err
    assert (tmp_path / "shop/src/entry.py").read_text() == "mine\n"
    assert not (tmp_path / "shop/wrangler.jsonc").exists()


def test_init_makes_no_second_project_beside_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "wrangler.toml").write_text("")
    assert run(["init", str(tmp_path), "--template", "kv"]) == 1
    assert "wrangler.toml is there already" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["wrangler.toml"]


def test_init_with_a_template_or_a_name_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["init", str(tmp_path), "-t", "rails"]) == 2
    assert "there is no template 'rails'; there are hello, kv, packages" in capsys.readouterr().err
    assert run(["init", str(tmp_path / "---")]) == 1
    assert "Say --name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_build_tells_warnings_apart_and_writes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["init", str(tmp_path / "shop")]) == 0
    entry = tmp_path / "shop/src/entry.py"
    entry.write_text(entry.read_text().replace("GREETING", "GREETINGS"))
    capsys.readouterr()
    assert run(["build", str(tmp_path / "shop"), "--out", str(tmp_path / "out.revision")]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "warning: src/entry.py:6: env.GREETINGS is not defined: no variable and no binding has that name; a secret may. "
        'Did you mean "GREETING"?\n'
    )
    assert said.out.splitlines()[-1] == f"littoral apply {tmp_path / 'out.revision'}"
    assert read_revision(tmp_path / "out.revision").records[0].name == "shop"


def test_a_build_that_fails_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["init", str(tmp_path / "shop")]) == 0
    (tmp_path / "shop/src/entry.py").write_text("def fetch(:\n")
    capsys.readouterr()
    assert run(["build", str(tmp_path / "shop")]) == 1
    said = capsys.readouterr()
    assert said.err == (
        f"error: cannot build {tmp_path / 'shop'}: nothing was built\nsrc/entry.py:1: invalid syntax\n"
        "    def fetch(:\n              ^\nCorrect it; nothing of it can run\n"
    )
    assert said.out == ""
    assert not (tmp_path / "shop/.littoral").exists()


def test_a_damaged_revision_is_refused_before_a_node_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["init", str(tmp_path / "shop")]) == 0
    assert run(["build", str(tmp_path / "shop"), "--out", str(tmp_path / "a.revision")]) == 0
    whole = (tmp_path / "a.revision").read_bytes()
    (tmp_path / "a.revision").write_bytes(whole[:-10])
    assert run(["apply", str(tmp_path / "a.revision"), "--url", "http://127.0.0.1:9", "--token", "t"]) == 1
    assert "it is damaged or cut off" in capsys.readouterr().err
