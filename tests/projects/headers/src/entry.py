from workers import Response, WorkerEntrypoint

BLOCKED = ["Public-Key-Pins", "X-Powered-By"]


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if (request.headers["x-custom-psk"] or "") != "mypresharedkey":
            return Response("Sorry, you have supplied an invalid key.", status=403, status_text="Forbidden")
        response = Response("in", headers={"X-Powered-By": "it", "X-Frame-Options": "SAMEORIGIN"})
        response.headers["X-Frame-Options"] = "DENY"
        for name in BLOCKED:
            del response.headers[name]
        response.headers.append("Set-Cookie", "a=1")
        response.headers.append("Set-Cookie", "b=2")
        if request.headers.get("x-not-sent") is not None:
            return Response("impossible", status=500)
        return response
