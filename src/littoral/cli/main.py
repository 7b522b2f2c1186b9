"""Where `littoral` starts: the table of commands, and what becomes of errors.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

import os
import sys
import traceback
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from littoral.cli.lazy import Entry, Group, make_group, new_app
from littoral.core.errors import LittoralError
from littoral.drivers.process import leave

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
DEBUG_VARIABLE = "LITTORAL_DEBUG"

COMMANDS: dict[str, Entry] = {
    "up": "littoral.cli.local.up:up",
    "demo": "littoral.cli.local.demo:demo",
    "version": "littoral.cli.version:version",
    "validate": "littoral.cli.validate:validate",
    "schema": "littoral.cli.schema:schema",
    "init": "littoral.cli.init:init",
    "dev": "littoral.cli.dev.command:dev",
    "build": "littoral.cli.build:build_project",
    "deploy": "littoral.cli.deploy:deploy",
    "rollback": "littoral.cli.deploy:rollback",
    "apply": "littoral.cli.apply:apply",
    "app": Group(
        "Apps and their revisions.",
        {
            "list": "littoral.cli.app:list_apps",
            "revisions": "littoral.cli.app:list_revisions",
            "errors": "littoral.cli.app:show_errors",
            "delete": "littoral.cli.app:delete",
        },
    ),
    "resource": Group(
        "The desired state.",
        {"list": "littoral.cli.resource:list_resources", "delete": "littoral.cli.resource:delete"},
    ),
    "status": "littoral.cli.status:status",
    "node": Group(
        "Nodes of the tree.",
        {
            "run": "littoral.cli.node_run:run",
            "list": "littoral.cli.node_list:list_nodes",
            "command": "littoral.cli.node_act:command",
            "expel": "littoral.cli.node_act:expel",
        },
    ),
    "call": "littoral.cli.call:call",
    "logs": "littoral.cli.logs:logs",
    "top": "littoral.cli.top:top",
    "ask": "littoral.cli.ask:ask",
    "token": Group("Join tokens.", {"create": "littoral.cli.join_token:create"}),
    "kv": Group(
        "Key-value namespaces.",
        {
            "get": "littoral.cli.kv:get",
            "put": "littoral.cli.kv:put",
            "delete": "littoral.cli.kv:delete",
            "list": "littoral.cli.kv:list_keys",
        },
    ),
    "secret": Group(
        "Apps' secrets.",
        {
            "put": "littoral.cli.secret:put",
            "list": "littoral.cli.secret:list_secrets",
            "delete": "littoral.cli.secret:delete",
        },
    ),
    "blob": Group(
        "Large files.",
        {
            "put": "littoral.cli.blob_put:put",
            "get": "littoral.cli.blob_get:get",
            "list": "littoral.cli.blob:list_blobs",
            "drop": "littoral.cli.blob:drop",
        },
    ),
    "route": Group(
        "Routes of the gateways.",
        {"list": "littoral.cli.route:list_routes", "test": "littoral.cli.route:try_route"},
    ),
    "trace": "littoral.cli.trace:trace",
    "cache": Group(
        "The HTTP cache.",
        {
            "purge": "littoral.cli.cache:purge",
            "inspect": "littoral.cli.cache:inspect",
            "top": "littoral.cli.cache:top",
        },
    ),
    "cron": Group("Cron triggers of apps.", {"list": "littoral.cli.cron:list_crons"}),
    "queue": Group(
        "Queues of apps.",
        {
            "list": "littoral.cli.queue:list_queues",
            "peek": "littoral.cli.queue:peek",
            "purge": "littoral.cli.queue:purge",
        },
    ),
    "stream": Group(
        "Durable streams.",
        {
            "list": "littoral.cli.stream_list:list_streams",
            "read": "littoral.cli.stream_read:read",
            "tail": "littoral.cli.stream_read:tail",
            "append": "littoral.cli.stream_append:append",
            "token": "littoral.cli.stream_token:make_token",
        },
    ),
    "store": Group(
        "The store of a node on this machine.",
        {
            "check": "littoral.cli.store_check:check",
            "backup": "littoral.cli.store_backup:backup",
            "restore": "littoral.cli.store_backup:restore",
            "encrypt": "littoral.cli.store_encrypt:encrypt",
            "rekey": "littoral.cli.store_encrypt:rekey",
            "decrypt": "littoral.cli.store_encrypt:decrypt",
        },
    ),
    "dlq": Group(
        "Dead letters: what a node could not apply.",
        {
            "list": "littoral.cli.dlq_list:list_letters",
            "show": "littoral.cli.dlq_show:show",
            "retry": "littoral.cli.dlq_act:retry",
            "drop": "littoral.cli.dlq_act:drop",
        },
    ),
    "wan": Group(
        "The links of a local tree, as `littoral up` runs it.",
        {
            "list": "littoral.cli.wan:list_links",
            "cut": "littoral.cli.wan:cut",
            "restore": "littoral.cli.wan:restore",
            "delay": "littoral.cli.wan:delay",
        },
    ),
    "sim": "littoral.cli.sim:sim",
    "mqtt": Group(
        "The MQTT broker.",
        {
            "pub": "littoral.cli.mqtt_pub:pub",
            "sub": "littoral.cli.mqtt_sub:sub",
            "topics": "littoral.cli.mqtt_topics:list_topics",
            "clients": "littoral.cli.mqtt_clients:list_clients",
            "kick": "littoral.cli.mqtt_clients:kick",
            "bridges": "littoral.cli.mqtt_bridges:list_bridges",
            "hash": "littoral.cli.mqtt:hash_login",
        },
    ),
}
"""Every command."""
PANELS = {
    "To begin with": ("up", "demo", "version", "init"),
    "Apps": ("dev", "build", "deploy", "rollback", "app", "call", "logs", "top", "secret", "cron", "queue"),
    "Documents and nodes": ("apply", "validate", "schema", "resource", "status", "node", "token", "ask"),
    "HTTP and MQTT": ("route", "trace", "cache", "mqtt"),
    "Data": ("stream", "kv", "blob", "store", "dlq"),
    "Faults": ("wan", "sim"),
}
"""The headings of `littoral --help`, with the commands under each, in their order."""


def _root(
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG_VARIABLE, help="Show where in the source an error came from.")
    ] = False,
) -> None:
    """Littoral: an edge computing platform that you host yourself."""
    if debug:
        # Processes that a command starts are to do the same.
        os.environ[DEBUG_VARIABLE] = "1"


def make_root() -> TyperGroup:
    """The whole command."""
    app = new_app()
    app.callback()(_root)
    panels = {name: title for title, names in PANELS.items() for name in names}
    return make_group("littoral", app, {name: COMMANDS[name] for name in panels}, panels)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Whatever goes wrong is told on stderr, in one block."""
    try:
        code = make_root().main(arguments, prog_name="littoral", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        _tell(_usage(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone. Python would flush it once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except LittoralError as error:
        _debug()
        _tell(f"error: {_words(error)}")
        return FAILED
    except Exception as error:  # noqa: BLE001 -- the boundary to the user: it is told, and how to learn more
        _debug()
        _tell(f"error: this should not have happened: {type(error).__name__}: {error}\n{DEBUG_VARIABLE}=1 shows where")
        return FAILED
    return code if isinstance(code, int) else DONE


def main() -> None:
    """The console script."""
    leave(run(sys.argv[1:]))


def _words(error: LittoralError) -> str:
    what = f"cannot {error.operation} {error.subject}".rstrip()
    return f"{what}: {error.cause}\n{error.remedy}".rstrip()


def _usage(error: TyperException) -> str:
    text = f"error: {error.format_message()}"
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text}\n{context.get_usage()}\n`{context.command_path} --help` explains it"


def _tell(text: str) -> None:
    print(text.rstrip(), file=sys.stderr)


def _debug() -> None:
    if os.environ.get(DEBUG_VARIABLE) not in (None, "", "0"):
        traceback.print_exc()


if __name__ == "__main__":
    main()
