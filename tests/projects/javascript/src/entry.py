import json

from js import JSON, URL, Headers, Object, Response
from pyodide.ffi import create_proxy
from pyodide.ffi import to_js as _to_js


def to_js(value):
    return _to_js(value, dict_converter=Object.fromEntries)


async def after(lines):
    lines.append("after")


LINES = []


async def on_fetch(request, env, ctx):
    url = URL.new(request.url)
    ctx.passThroughOnException()
    ctx.waitUntil(create_proxy(after(LINES)))
    content_type = request.headers["content-type"] or ""
    if "application/json" in content_type:
        return Response.new(f"Hello, {(await request.json()).name}")
    if "form" in content_type:
        form = await request.formData()
        return Response.new(JSON.stringify(Object.fromEntries(form.entries())))
    if url.pathname == "/headers":
        return Response.new("\n".join(f"{name}={value}" for name, value in request.headers))
    if url.pathname == "/options":
        return Response.new("", to_js({"status": 202, "headers": {"x-kind": "options"}}))
    headers = Headers.new({"content-type": "application/json"}.items())
    headers.set("x-host", url.hostname)
    return Response.new(json.dumps({"page": url.searchParams.get("page"), "env": env.GREETING}), headers=headers)
