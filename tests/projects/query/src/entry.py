from urllib.parse import parse_qs, urlparse

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlparse(request.url)
        params = parse_qs(url.query)
        if "name" in params:
            return Response(f"Hello there, {params['name'][0]}")
        if url.path == "/favicon.ico":
            return Response("")
        return Response.json({"path": url.path}, headers=[("x-kind", "a"), ("x-kind", "b")])
