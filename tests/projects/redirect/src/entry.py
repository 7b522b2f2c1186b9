from urllib.parse import urlparse

from workers import Response, WorkerEntrypoint

MOVED = {"/bulk1": "https://new.test/1", "/bulk2": "https://new.test/2"}


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlparse(request.url).path
        if path in MOVED:
            return Response.redirect(MOVED[path], 301)
        return Response.redirect("https://new.test" + path, status=307)
