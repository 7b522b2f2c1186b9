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

import msgspec

from littoral.core.resources.model import Encryption
from tests.support.ports import free_hundred
from tests.support.real_node import RealNode

REPOSITORY = Path(__file__).parents[2]
TUTORIAL = REPOSITORY / "docs" / "tutorial" / "first-tree.md"
"""By test_tutorial.py, and the recipe for tiers with it."""
RECIPE = REPOSITORY / "docs" / "howto" / "validate-resources.md"
SIMULATION = REPOSITORY / "docs" / "howto" / "simulate-a-tree.md"
CRASHES = REPOSITORY / "docs" / "howto" / "crash-at-every-point.md"
BANDWIDTH = REPOSITORY / "docs" / "howto" / "limit-bandwidth.md"
MOVES = REPOSITORY / "docs" / "howto" / "move-a-node.md"
"""Its commands are run by test_move.py."""
INBOXES = REPOSITORY / "docs" / "howto" / "reach-a-node-behind-nat.md"
"""By test_inbox.py."""
BOUNDS = REPOSITORY / "docs" / "howto" / "bound-a-store.md"
LETTERS = REPOSITORY / "docs" / "howto" / "handle-dead-letters.md"
STREAMS = REPOSITORY / "docs" / "howto" / "serve-streams-to-clients.md"
REPLACE_GATEWAYS = REPOSITORY / "docs" / "howto" / "replace-gateways.md"
WEB_CACHE = REPOSITORY / "docs" / "howto" / "put-a-cache-before-a-server.md"
OPERATIONS = REPOSITORY / "docs" / "howto" / "see-what-a-gateway-does.md"
TIERS = REPOSITORY / "docs" / "howto" / "put-tiers-before-a-server.md"
LOAD = REPOSITORY / "docs" / "howto" / "spread-load-over-servers.md"
WORKERS = REPOSITORY / "docs" / "howto" / "wake-workers.md"
BACKUPS = REPOSITORY / "docs" / "howto" / "back-up-and-restore.md"
ENCRYPTION = REPOSITORY / "docs" / "howto" / "encrypt-a-node.md"
BLOBS = REPOSITORY / "docs" / "howto" / "move-large-files.md"
PROJECTS = REPOSITORY / "docs" / "howto" / "build-a-project.md"
DEVELOPING = REPOSITORY / "docs" / "howto" / "develop-a-project.md"
"""By test_dev.py, test_dev_remote.py and test_deploy.py."""
OBSERVING = REPOSITORY / "docs" / "howto" / "see-what-functions-do.md"
"""By test_observed_functions.py."""
SCHEDULES = REPOSITORY / "docs" / "howto" / "run-on-a-schedule.md"
"""By test_event_pages.py, and the next."""
QUEUES = REPOSITORY / "docs" / "howto" / "send-messages-between-functions.md"
CLASSIFYING = REPOSITORY / "docs" / "howto" / "classify-at-the-edge.md"
KEEPING = REPOSITORY / "docs" / "howto" / "keep-data-and-secrets-of-functions.md"
"""By test_binding_page.py."""
DEVICES = REPOSITORY / "docs" / "howto" / "let-devices-in.md"
"""By test_mqtt_access_page.py."""
BRIDGES = REPOSITORY / "docs" / "howto" / "bridge-another-broker.md"
"""By test_bridge_page.py."""
TOPICS = REPOSITORY / "docs" / "howto" / "see-what-devices-send.md"
"""By test_mqtt_values_page.py."""
MESSAGES = REPOSITORY / "docs" / "howto" / "send-messages-between-sites.md"
"""By test_tutorial.py."""
DEADLINE_S = 60
FOLLOWING = ("stream tail", "mosquitto_sub", "curl -sN")
"""Commands that the reader ends with Ctrl-C once they have shown something."""
BASE_PORT = free_hundred()
"""The pages use the default ports; a tree of somebody who works on this machine, or other tests, may have them."""


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        # Most ask by a command, which takes more of the machine than what is waited for.
        time.sleep(0.2)


def moved(text: str) -> str:
    """The text with the ports that are used here."""
    return re.sub(r"\b74(\d\d)\b", str(BASE_PORT)[:3] + r"\1", text)


def follow(command: str, folder: Path) -> str:
    """Start a command, wait until it has shown something, and press Ctrl-C. Returns what it showed."""
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
    return shown.read_text()


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


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
        command = line.replace("littoral", f"{shlex.quote(sys.executable)} -m littoral.cli.main", 1)
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
    shown = run(line.replace("python", shlex.quote(sys.executable), 1), tmp_path)
    assert re.fullmatch(r"notes: plant-a .* (\d+) of \1 syncs.* all recovered\n", shown), shown


def running(command: str, folder: Path):
    """A command that runs until Ctrl-C."""
    return subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], cwd=folder, stderr=subprocess.DEVNULL)


def runs(command: str, folder: Path) -> bool:
    """Whether it ends well."""
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_recipe_for_streams(tmp_path):
    text = moved(STREAMS.read_text(encoding="utf-8"))
    block = re.search(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    make, validate, start, *calls = [line.replace("littoral ", littoral, 1) for line in map(moved, commands(STREAMS))]
    made = dict(line.split() for line in run(make, tmp_path).splitlines())
    (tmp_path / "node.yaml").write_text(block[1].replace("TOKEN_HASH", made["tokenHash:"]), encoding="utf-8")
    run(validate, tmp_path)
    shown = []
    with running(start, tmp_path) as node:
        try:
            health = f"curl -fs http://127.0.0.1:{str(BASE_PORT)[:3]}80/healthz"
            until(lambda: subprocess.run(shlex.split(health), capture_output=True, check=False).returncode == 0)
            for call in calls:
                command = call.replace("TOKEN", made["token:"])
                shown.append((follow if command.startswith(FOLLOWING) else run)(command, tmp_path))
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
    # What the page shows of the calls is what there is to see, in this order.
    seen = iter("".join(shown).replace("\r", "").replace("]", "]\n").splitlines())
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    promised = [line for kind, body in blocks if not kind and "token:" not in body for line in body.splitlines()]
    assert len(promised) == 6
    for line in promised:
        assert line in seen, line


def test_the_recipe_for_a_cache(tmp_path):
    text = moved(WEB_CACHE.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    for file, block in zip(("node.yaml", "shop.yaml"), blocks, strict=True):
        (tmp_path / file).write_text(block, encoding="utf-8")
    interpreter = shlex.quote(sys.executable)
    lines = [re.sub(r"^python ", f"{interpreter} ", moved(line)) for line in commands(WEB_CACHE)]
    start, make, serve, validate, apply, routes, test, first, second, top, inspect, purge, after = [
        line.replace("littoral ", f"{interpreter} -m littoral.cli.main ", 1) for line in lines
    ]
    with running(start, tmp_path) as node:
        run(make, tmp_path)
        with running(serve, tmp_path) as server:
            try:
                run(validate, tmp_path)
                until(lambda: runs(apply, tmp_path))
                until(lambda: "origin shop-servers" in run(routes, tmp_path))
                assert moved("http://localhost:7470/index.html") in run(test, tmp_path)
                until(lambda: "hello" in run(first, tmp_path))
                assert "; hit; ttl=" in run(second, tmp_path)
                assert moved("http://localhost:7470/index.html") in run(top, tmp_path)
                assert re.search(r" +200 ", run(inspect, tmp_path))
                assert re.search(
                    r"^purge 0: [1-9] stored responses? in [1-9] gateways?$", run(purge, tmp_path), re.MULTILINE
                )
                assert "fwd=uri-miss" in run(after, tmp_path)
                (reload,) = commands(REPLACE_GATEWAYS)
                run(reload.replace("littoral ", f"{interpreter} -m littoral.cli.main ", 1), tmp_path)
                pids = tmp_path / "data" / "run" / "pids.json"
                before = pids.read_text(encoding="ascii")
                until(lambda: pids.read_text(encoding="ascii") != before)
            finally:
                server.terminate()
                server.wait(DEADLINE_S)
                node.send_signal(signal.SIGINT)
                node.wait(DEADLINE_S)


def test_the_recipe_for_operations(tmp_path):
    text = moved(OPERATIONS.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    for file, block in zip(("node.yaml", "shop.yaml"), blocks, strict=True):
        (tmp_path / file).write_text(block, encoding="utf-8")
    interpreter = shlex.quote(sys.executable)
    lines = [re.sub(r"^python ", f"{interpreter} ", moved(line)) for line in commands(OPERATIONS)]
    start, make, serve, apply, first, second, show, timing, trace, post = [
        line.replace("littoral ", f"{interpreter} -m littoral.cli.main ", 1) for line in lines
    ]
    with contextlib.ExitStack() as ended:
        node = ended.enter_context(running(start, tmp_path))
        ended.callback(node.send_signal, signal.SIGINT)
        run(make, tmp_path)
        server = ended.enter_context(running(serve, tmp_path))
        ended.callback(server.terminate)
        until(lambda: runs(apply, tmp_path))
        until(lambda: "hello" in run(first, tmp_path))
        run(second, tmp_path)
        until(lambda: runs(f"""{show} | grep -q '"cache":"hit"'""", tmp_path))
        promised = re.search(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert promised is not None
        assert list(json.loads(promised[1])) == list(json.loads(run(show, tmp_path).splitlines()[-1]))
        assert re.search(r"^server-timing: cache;desc=hit, total;dur=[0-9.]+$", run(timing, tmp_path), re.MULTILINE)
        shown = run(trace, tmp_path)
        assert re.search(
            r"^cache +validated \(littoral[a-z-]*; fwd=request; fwd-status=304; stored; ttl=8", shown, re.MULTILINE
        )
        origin = moved("http://127.0.0.1:7473")
        assert re.search(rf"^  origin {origin} +[0-9.]+ ms +[0-9.]+ ms +━+ +304 *$", shown, re.MULTILINE)
        assert json.loads(run(post, tmp_path))["report"]["status"] == 501


def test_the_recipe_for_load(tmp_path):
    text = moved(LOAD.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    for file, block in zip(("node.yaml", "shop.yaml"), blocks, strict=True):
        (tmp_path / file).write_text(block, encoding="utf-8")
    interpreter = shlex.quote(sys.executable)
    lines = [re.sub(r"^python ", f"{interpreter} ", moved(line)) for line in commands(LOAD)]
    start, make, serve_one, serve_two, validate, apply, first, second, third, after = [
        line.replace("littoral ", f"{interpreter} -m littoral.cli.main ", 1) for line in lines
    ]
    with contextlib.ExitStack() as ended:
        node = ended.enter_context(running(start, tmp_path))
        ended.callback(node.send_signal, signal.SIGINT)
        run(make, tmp_path)
        servers = {}
        for name, serve in (("one\n", serve_one), ("two\n", serve_two)):
            servers[name] = ended.enter_context(running(serve, tmp_path))
            ended.callback(servers[name].terminate)
        run(validate, tmp_path)
        until(lambda: runs(apply, tmp_path))
        until(lambda: "HTTP/1.1 200" in run(first, tmp_path))
        head = run(first, tmp_path).replace("\r", "")
        (promised,) = [line for line in text.splitlines() if line.startswith("set-cookie: ")]
        assert re.search(re.escape(promised).replace("…", "[0-9a-f]+"), head)
        told = run(second, tmp_path)
        assert run(third, tmp_path) == told
        servers[told].terminate()
        servers[told].wait(DEADLINE_S)
        assert run(after, tmp_path) == ("two\n" if told == "one\n" else "one\n")


def test_the_recipe_for_workers(tmp_path):
    text = moved(WORKERS.read_text(encoding="utf-8"))
    for file, kind in (("node.yaml", "yaml"), ("receiver.py", "python")):
        block = re.search(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert block is not None
        (tmp_path / file).write_text(block[1], encoding="utf-8")
    start, *calls = [
        re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", line).replace(
            "littoral ", f"{shlex.quote(sys.executable)} -m littoral.cli.main ", 1
        )
        for line in map(moved, commands(WORKERS))
    ]
    printed = tmp_path / "printed"
    shown = []
    claimed: dict[str, str] = {}
    with contextlib.ExitStack() as processes:
        node = running(start, tmp_path)
        processes.callback(node.wait, DEADLINE_S)
        processes.callback(node.send_signal, signal.SIGINT)
        until(lambda: runs(f"curl -fs http://127.0.0.1:{str(BASE_PORT)[:3]}80/healthz", tmp_path))
        for call in calls:
            if "receiver.py" in call:
                output = processes.enter_context(printed.open("wb"))
                receiver = subprocess.Popen(["/bin/sh", "-c", f"exec {call}"], cwd=tmp_path, stdout=output)
                processes.callback(receiver.wait, DEADLINE_S)
                processes.callback(receiver.terminate)
                until(lambda: runs(f"curl -s http://127.0.0.1:{str(BASE_PORT)[:3]}90/", tmp_path))
                continue
            said = run(
                call.replace("TOKEN", claimed.get("token", "")).replace("WAKE_ID", claimed.get("wake_id", "")), tmp_path
            )
            if call.endswith('"packer-1"}\''):
                claimed = json.loads(said)
                said = said.replace(claimed["token"], "TOKEN").replace(claimed["wake_id"], "WAKE_ID")
            shown.append(re.sub(r'"ts":\d+', '"ts":1700000000000', said))
        until(lambda: printed.stat().st_size > 0)
        until(lambda: '"status":"active"' in run(calls[-1], tmp_path))
    seen = "".join(shown) + printed.read_text()
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    promised = [body for kind, body in blocks if not kind]
    assert len(promised) == 4
    for block in promised:
        assert re.sub(r"\n\s*", "", block) in seen, block


def test_the_recipe_for_dead_letters(tmp_path):
    text = LETTERS.read_text(encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    for file, block in zip(
        ("node.yaml", "rule.yaml"),
        re.findall(r"^```yaml\n(.*?)^```", moved(text), re.DOTALL | re.MULTILINE),
        strict=True,
    ):
        (tmp_path / file).write_text(block, encoding="utf-8")
    start, apply, *calls = [line.replace("littoral ", littoral, 1) for line in map(moved, commands(LETTERS))]
    shown = []
    with running(start, tmp_path) as node:
        try:
            status = f"{littoral}status --data-dir data --json"
            ask = shlex.split(status)
            until(lambda: subprocess.run(ask, cwd=tmp_path, capture_output=True, check=False).returncode == 0)
            run(apply, tmp_path)
            until(lambda: "heat" in json.loads(run(status, tmp_path))[0]["rules"])
            for call in calls:
                shown += run(call, tmp_path).splitlines()
                if "-m 'not json'" in call:
                    until(lambda: json.loads(run(status, tmp_path))[0]["dead_letters"] == 2)
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
    # What the page shows is what there is to see, but for the age.
    seen = {re.sub(r"\s+\d+s\s+", " ", line).strip() for line in shown}
    for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith(("     ", "0: ")):
                assert re.sub(r"\s+\d+s\s+", " ", line).strip() in seen, line
    assert {"0: applied", "1: dropped", "retried 0", "dropped 0"} <= seen


def test_the_recipe_for_bandwidth(tmp_path):
    block = re.search(r"^```yaml\n(apiVersion.*?)^```", BANDWIDTH.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "plant-a.yaml").write_text(moved(block[1]), encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main"
    lines = [moved(line).replace("littoral", littoral, 1) for line in commands(BANDWIDTH)]
    validate, root, token, site, append, status = lines
    run(validate, tmp_path)
    with contextlib.ExitStack() as nodes:
        for command, before in ((root, ""), (site, token)):
            if before:
                until(lambda command=before: runs(command, tmp_path))
            node = nodes.enter_context(running(command, tmp_path))
            nodes.callback(node.wait, DEADLINE_S)
            nodes.callback(node.send_signal, signal.SIGINT)
        until(lambda: " up " in (run(status, tmp_path) if runs(status, tmp_path) else ""))
        run(append, tmp_path)
        shown = re.compile(r"^plant-a: telemetry: [0-9,]+ waiting, oldest [0-9]+s, [0-9.,]+/s", re.MULTILINE)
        until(lambda: shown.search(run(status, tmp_path)))
        assert "BUDGET" in run(status, tmp_path)


def test_the_recipe_for_bounds(tmp_path):
    text = moved(BOUNDS.read_text(encoding="utf-8"))
    document, part = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    head, _, _ = document.partition("  listen:")
    (tmp_path / "child.yaml").write_text(head + part.removeprefix("spec:\n"), encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    lines = [re.sub("^littoral ", littoral, moved(line)) for line in commands(BOUNDS)]
    make, path, validate, start, token, *calls = lines
    run(make, tmp_path)
    directory = run(path, tmp_path).strip()
    (tmp_path / "plant-a.yaml").write_text(document.replace("DIRECTORY", directory), encoding="utf-8")
    run(validate, tmp_path)
    run(f"{littoral}validate child.yaml", tmp_path)
    with running(start, tmp_path) as node:
        try:
            until(lambda: runs(f"{littoral}status --data-dir data", tmp_path))
            shown = [run(f"{token}\n{call}", tmp_path) for call in calls]
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (promised,) = [body for kind, body in blocks if not kind]
    assert [words in shown[1] for words in promised.splitlines()] == [True, True], shown[1]
    assert shown[1].count('"status":507') == 1, "two were taken"
    assert "SPILL" in shown[5]
    assert re.search(r"^(\d+) of \1 spill files were looked at\nno problems", shown[6], re.MULTILINE), shown[6]


def test_the_recipe_for_blobs(tmp_path):
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    root, token, site, *calls = [
        re.sub(r"\blittoral (?=blob|node|token)", littoral, moved(line)) for line in commands(BLOBS)
    ]
    here_too = re.sub("sha256:[0-9a-f]{64}", "", calls[2])
    with contextlib.ExitStack() as nodes:
        for command, before in ((root, ""), (site, token)):
            if before:
                until(lambda command=before: runs(command, tmp_path))
            node = nodes.enter_context(running(command, tmp_path))
            nodes.callback(node.wait, DEADLINE_S)
            nodes.callback(node.send_signal, signal.SIGINT)
        until(lambda: runs(here_too, tmp_path))
        shown = []
        for command in calls:
            if "picture.back" in command:
                # The page says that it is sent; its reader is slower than we are.
                until(lambda: "above" in run(here_too, tmp_path))
            shown.append(run(command, tmp_path))
        assert re.search(r"^sha256:[0-9a-f]{64} +4.8 MiB +(sending|above)", shown[2], re.MULTILINE)
        assert (tmp_path / "model").read_text() == "a model, in a manner of speaking\n"
        assert (tmp_path / "picture.digest").read_text().strip() not in run(here_too, tmp_path)


def test_the_recipe_for_projects(tmp_path):
    text = moved(PROJECTS.read_text(encoding="utf-8"))
    (block,) = re.findall(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "node.yaml").write_text(block, encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    start, init, build, apply, ask = [line.replace("littoral ", littoral, 1) for line in map(moved, commands(PROJECTS))]
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    promised, *_ = [body for kind, body in blocks if not kind]
    with running(start, tmp_path) as node:
        try:
            run(init, tmp_path)
            run(build, tmp_path)
            until(lambda: runs(apply, tmp_path))
            until(lambda: runs(f"{ask} --fail", tmp_path))
            assert run(ask, tmp_path) == promised
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)


def test_no_page_has_commands_that_nothing_runs():
    recipes = {
        RECIPE,
        CRASHES,
        SIMULATION,
        STREAMS,
        WEB_CACHE,
        TIERS,
        LOAD,
        OPERATIONS,
        REPLACE_GATEWAYS,
        WORKERS,
        LETTERS,
        MOVES,
        INBOXES,
        BANDWIDTH,
        BLOBS,
        DEVELOPING,
        OBSERVING,
        PROJECTS,
        SCHEDULES,
        QUEUES,
        CLASSIFYING,
        KEEPING,
        BOUNDS,
        BACKUPS,
        ENCRYPTION,
        DEVICES,
        MESSAGES,
        TOPICS,
        BRIDGES,
    }
    covered = {TUTORIAL, *recipes, REPOSITORY / "README.md"}
    pages = [*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")]
    assert [str(page) for page in pages if page not in covered and commands(page)] == []
    readme = commands(REPOSITORY / "README.md")
    assert {line.split("  ")[0].strip() for line in readme} == {
        "make demo",
        "make test",
        ".venv/bin/littoral demo --check",
    }


DATA_DIR = "/var/lib/littoral"


def run_on_a_node(page: Path, folder: Path, node: RealNode) -> dict[str, str]:
    """The commands of a page about a node whose data is in DATA_DIR and that systemd runs; what each prints."""
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main"
    shown = {}
    for line in commands(page):
        if line == "systemctl stop littoral":
            node.stop()
        elif line == "systemctl start littoral":
            node.start()
        else:
            command = re.sub(r"^littoral ", f"{littoral} ", line).replace(DATA_DIR, str(node.data_dir))
            shown[line] = run(command, folder)
    return shown


def test_the_recipe_for_backups(tmp_path):
    with RealNode("plant-a") as node:
        node.start()
        assert node.api("PUT", "/v1/stream/s", b"before", {"content-type": "text/plain"}).status == 201
        shown = run_on_a_node(BACKUPS, tmp_path, node)
        assert node.api("GET", "/v1/stream/s").body == b"before"
        assert (node.data_dir / "store.db.before-restore").exists()
    checks = [text for line, text in shown.items() if "store check" in line]
    assert len(checks) == 2
    assert all(text.endswith("no problems\n") for text in checks)


def test_the_recipe_for_encryption(tmp_path, monkeypatch):
    # The document's path is relative to where the node is started.
    monkeypatch.chdir(tmp_path)
    block = re.search(
        r"^```yaml\n(apiVersion.*?)^```", ENCRYPTION.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert block is not None
    (tmp_path / "node.yaml").write_text(block[1], encoding="utf-8")
    with RealNode("plant-a") as node:
        node.start()
        node.config = msgspec.structs.replace(
            node.config, spec=msgspec.structs.replace(node.config.spec, encryption=Encryption(key_file="store.key"))
        )
        shown = run_on_a_node(ENCRYPTION, tmp_path, node)
    assert sum("encrypted" in text for text in shown.values()) == 3
    assert (tmp_path / "store.key").read_text() != (tmp_path / "store-2.key").read_text()
