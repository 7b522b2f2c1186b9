"""The keys of wrangler's configuration file: what Littoral does with each.

As Cloudflare documents them (developers.cloudflare.com/workers/wrangler/configuration). An environment inherits the keys
of INHERITED from the top of the file where it does not have them itself; those of OWN it must say itself.
"""

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why a project with such a key is not built."""

    what: str
    """What the key needs, with the verb: "durable_objects" + " needs Durable Objects"."""
    remedy: str


_WITHOUT = "Remove it here, and what uses it in the code"
_JAVASCRIPT = "it is for JavaScript; Littoral runs Python"

REFUSED = {
    "ai_search": Refusal("needs AI Search", _WITHOUT),
    "browser": Refusal("needs a browser to render with", _WITHOUT),
    "containers": Refusal("needs containers", _WITHOUT),
    "d1_databases": Refusal("needs SQL databases (D1)", f"{_WITHOUT}; key-value namespaces are there (kv_namespaces)"),
    "data_blobs": Refusal("is of the service-worker format", "Read the file with open() beside the module"),
    "dispatch_namespaces": Refusal("needs Workers for Platforms", _WITHOUT),
    "durable_objects": Refusal("needs Durable Objects", f"{_WITHOUT}; key-value namespaces are there (kv_namespaces)"),
    "hyperdrive": Refusal("needs Hyperdrive", _WITHOUT),
    "images": Refusal(
        "needs Cloudflare Images", f"{_WITHOUT}; a library such as Pillow is a dependency like any other"
    ),
    "logfwdr": Refusal("needs logfwdr", _WITHOUT),
    "media": Refusal("needs Cloudflare Media", _WITHOUT),
    "migrations": Refusal("needs Durable Objects", _WITHOUT),
    "mtls_certificates": Refusal("needs client certificates for subrequests", _WITHOUT),
    "pipelines": Refusal("needs Pipelines", _WITHOUT),
    "r2_buckets": Refusal(
        "needs an object store (R2)", f"{_WITHOUT}; values of up to 1 MiB can go to a key-value namespace"
    ),
    "ratelimits": Refusal("needs rate limits as bindings", _WITHOUT),
    "secrets_store_secrets": Refusal("needs the Secrets Store", _WITHOUT),
    "send_email": Refusal("needs Email Routing", _WITHOUT),
    "site": Refusal(
        "is of the service-worker format",
        "Remove it here; `assets` with the folder as its directory does the same",
    ),
    "tail_consumers": Refusal("needs tail workers", _WITHOUT),
    "text_blobs": Refusal("is of the service-worker format", "Read the file with open() beside the module"),
    "unsafe": Refusal("needs bindings that are Cloudflare's own", _WITHOUT),
    "vectorize": Refusal("needs Vectorize", _WITHOUT),
    "version_metadata": Refusal("needs version metadata", f"{_WITHOUT}; a variable (vars) can say the version"),
    "vpc_networks": Refusal("needs VPC networks", _WITHOUT),
    "vpc_services": Refusal("needs VPC services", _WITHOUT),
    "wasm_modules": Refusal("is of the service-worker format", "Use a Python package with a wheel instead"),
    "worker_loaders": Refusal("needs dynamic workers", _WITHOUT),
    "workflows": Refusal("needs Workflows", _WITHOUT),
}
"""Keys of things that Littoral does not have, by name. A project that needs one is not built: it would fail when called."""

WITHOUT_EFFECT = {
    "alias": _JAVASCRIPT,
    "build": "commands of a project are not run; run them before `littoral build`",
    "define": _JAVASCRIPT,
    "placement": "where an app runs is for spec.placement of a littoral.yaml to say",
    "streaming_tail_consumers": "there are no tail workers",
}
"""Keys that are not heeded, and why: somebody might count on them."""

UNSAID = frozenset({
    "$schema", "account_id", "cache", "cloudchamber", "compatibility_flags", "compliance_region", "dependencies_instrumentation",
    "dev", "find_additional_modules", "first_party_worker", "jsx_factory", "jsx_fragment", "keep_names", "keep_vars",
    "legacy_env", "logpush", "minify", "no_bundle", "node_compat", "observability", "pages_build_output_dir",
    "preserve_file_names", "preview_urls", "previews", "python_modules", "rules", "secrets", "send_metrics", "tsconfig",
    "upload_source_maps", "usage_model", "userWorkerConfigPath", "workers_dev", "zone_id",
})  # fmt: skip
"""Keys of Cloudflare's own service, of its tools or of JavaScript, which mean nothing elsewhere."""

INHERITED = frozenset(
    {
        "assets",
        "base_dir",
        "compatibility_date",
        "limits",
        "main",
        "migrations",
        "placement",
        "route",
        "routes",
        "triggers",
    }
)
"""What an environment has from the top of the file, unless it says otherwise. A name it has with its own added."""

OWN = (
    (REFUSED.keys() | {"ai", "analytics_engine_datasets", "kv_namespaces", "queues", "services", "vars", "define"})
    - INHERITED
    - {"site", "text_blobs", "data_blobs", "wasm_modules"}
)
"""What it has only if it says so itself. The rest is for the top of the file to say, for all environments."""

UNDERSTOOD = frozenset(
    {
        "ai",
        "assets",
        "analytics_engine_datasets",
        "base_dir",
        "compatibility_date",
        "env",
        "kv_namespaces",
        "limits",
        "main",
        "name",
        "queues",
        "route",
        "routes",
        "services",
        "triggers",
        "vars",
    }
)
"""Keys that become something of an App document."""

KNOWN = UNDERSTOOD | UNSAID | REFUSED.keys() | WITHOUT_EFFECT.keys()
