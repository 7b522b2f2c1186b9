"""The commands on the documentation's pages do what the pages say: each is run, in the order of its page."""

import contextlib
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TUTORIAL = REPOSITORY / "docs" / "tutorial" / "first-tree.md"
RECIPE = REPOSITORY / "docs" / "howto" / "validate-resources.md"
SIMULATION = REPOSITORY / "docs" / "howto" / "simulate-a-tree.md"
CRASHES = REPOSITORY / "docs" / "howto" / "crash-at-every-point.md"
DEADLINE_S = 60
FOLLOWING = ("stream tail", "mosquitto_sub")
"""Commands that the reader ends with Ctrl-C once they have shown something."""
ELSEWHERE = ("make demo", ".venv/bin/littoral demo")
"""Run here as `littoral up`, and by test_demo.py."""
BASE_PORT = 27400
"""The pages use the default ports; a tree of somebody who works on this machine may have them."""


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@contextlib.contextmanager
def tree(folder: Path):
    """What `make demo` starts, in a folder that looks like a checkout."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    script = folder / ".venv" / "bin" / "littoral"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m littoral.cli.main "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    said = folder / "said"
    command = [str(script), "up", "--port", str(BASE_PORT)]
    with said.open("wb") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
        try:
            until(lambda: "Ctrl-C ends it" in said.read_text() or process.poll() is not None)
            assert process.poll() is None, said.read_text()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)


def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def here(command: str, folder: Path) -> str:
    """The command with the ports and the password of this tree."""
    password = json.loads((folder / ".littoral" / "tree.json").read_text())["mqtt"]["password"]
    return re.sub(r"\b74(\d\d)\b", str(BASE_PORT)[:3] + r"\1", command).replace("PASSWORD", password)


def follow(command: str, folder: Path) -> None:
    """Start a command, wait until it has shown something, and press Ctrl-C."""
    shown = folder / "shown"
    with shown.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: shown.stat().st_size > 0 or process.poll() is not None)
        assert process.poll() is None, f"{command}\n{shown.read_text()}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE_S)


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_the_tutorial(tmp_path):
    lines = [line for line in commands(TUTORIAL) if line not in ELSEWHERE]
    assert len(lines) > 8
    with tree(tmp_path):
        # The page says how long the first anomaly takes; its reader is slower than we are.
        until(lambda: "plant-a/alerts" in run(".venv/bin/littoral stream list", tmp_path))
        shown = {}
        for line in lines:
            command = here(line, tmp_path)
            if any(word in command for word in FOLLOWING):
                follow(command, tmp_path)
            elif line.endswith("kv get factory note"):
                # The page says that it takes seconds.
                until(
                    lambda command=command: (
                        subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
                    )
                )
            else:
                shown[line] = run(command, tmp_path)
    assert any("plant-a" in text for line, text in shown.items() if line.endswith("status"))


def test_the_recipe_for_validation(tmp_path):
    text = RECIPE.read_text(encoding="utf-8")
    block = re.search(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    shown = re.search(r"^```\n(rules.yaml:.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    assert shown is not None
    (tmp_path / "rules.yaml").write_text(block[1], encoding="utf-8")
    for name, source in (("examples", "examples"), ("deploy", "examples/factory")):
        (tmp_path / name).symlink_to(REPOSITORY / source)
    for line in commands(RECIPE):
        command = line.replace("littoral ", f"{shlex.quote(sys.executable)} -m littoral.cli.main ", 1)
        if line == "littoral validate rules.yaml":
            done = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (1, shown[1])
        else:
            run(command, tmp_path)


def test_the_recipe_for_simulations(tmp_path):
    block = re.search(r"^```python\n(.*?)^```", SIMULATION.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "counters.py").write_text(block[1], encoding="utf-8")
    shown = {}
    for line in commands(SIMULATION):
        command = line.replace(".venv/bin/littoral", f"{shlex.quote(sys.executable)} -m littoral.cli.main")
        shown[line.partition("sim ")[2]] = run(command, tmp_path)
    first, timeline, replay, extended = shown.values()
    assert " 0 violations" in first
    assert "wrote sim/seed-7.html" in timeline
    assert next(line for line in timeline.splitlines() if "SHA-256" in line) in replay
    assert "stutter" in extended


def test_the_recipe_for_crashes(tmp_path):
    block = re.search(r"^```python\n(.*?)^```", CRASHES.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "notes.py").write_text(block[1], encoding="utf-8")
    (line,) = commands(CRASHES)
    shown = run(line.replace(".venv/bin/python", shlex.quote(sys.executable)), tmp_path)
    assert re.fullmatch(r"notes: plant-a .* (\d+) of \1 syncs.* all recovered\n", shown), shown


def test_no_page_has_commands_that_nothing_runs():
    covered = {TUTORIAL, RECIPE, CRASHES, SIMULATION, REPOSITORY / "README.md"}
    pages = [*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")]
    assert [str(page) for page in pages if page not in covered and commands(page)] == []
    readme = commands(REPOSITORY / "README.md")
    assert {line.split("  ")[0].strip() for line in readme} == {
        "make demo",
        "make test",
        ".venv/bin/littoral demo --check",
    }
