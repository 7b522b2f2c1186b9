"""`env` of a worker: the variables, and an object for each binding."""

import os
from typing import Any

from littoral.functions.messages import WorkerSpec
from littoral.functions.worker.binding_client import BindingClient
from littoral.functions.worker.event_env import make_binding
from littoral.workers import Env, KVError, KVNamespace

TOO_LONG = "A value has at most what the limit kv-value-bytes of the node says: split it over several keys"


def plain_env(spec: WorkerSpec) -> dict[str, Any]:
    """Variables, and secrets, which go before a variable of the same name."""
    return {**{name: _as_found(value) for name, value in spec.vars.items()}, **spec.secrets}


def _as_found(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    # JavaScript's objects, whose members are attributes, are loaded for apps that have such variables.
    from littoral.workers.js.values import to_javascript  # noqa: PLC0415

    return to_javascript(value)


def make_env(spec: WorkerSpec, client: BindingClient) -> Env:
    """Everything that the app's code finds in `env`."""
    kv = client.caller("kv", "namespace", KVError, too_long=TOO_LONG)
    namespaces = {name: KVNamespace(namespace, kv) for name, namespace in spec.kv.items()}
    others = {name: make_binding(binding, client) for name, binding in spec.bindings.items()}
    return Env({**plain_env(spec), **namespaces, **others, **_assets(spec), **_ai(spec, client)})


def _ai(spec: WorkerSpec, client: BindingClient) -> dict[str, Any]:
    given = spec.inference
    if not given.binding:
        return {}
    # Loaded by apps that run models only.
    from littoral.functions.worker.inference_client import InferenceClient  # noqa: PLC0415
    from littoral.workers.ai import AI, AIError  # noqa: PLC0415

    hub = client.caller("ai", "model", AIError)
    runner = InferenceClient(
        spec.inference_socket, given.credential, spec.revision, given.wait_ms / 1000, given.most_bytes, hub
    )
    client.closing.append(runner.close)
    return {given.binding: AI(runner)}


def _assets(spec: WorkerSpec) -> dict[str, Any]:
    if spec.assets is None or spec.assets.binding is None:
        return {}
    # Loaded by apps that have files only.
    from littoral.workers.assets import Assets  # noqa: PLC0415

    return {spec.assets.binding: Assets(os.path.join(spec.directory, spec.assets.directory), spec.assets)}
