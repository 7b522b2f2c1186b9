from workers import Response, fetch, handler


@handler
def on_fetch(request, env):
    return Response.json({"url": request.url, "greeting": env.GREETING, "callable": callable(fetch)})
