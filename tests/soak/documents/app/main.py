"""A page that needs the whole way: gateway, worker, and the hub's key-value."""

from workers import Request, Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request: Request) -> Response:
        keys = await self.env.KV.list(prefix="windows/")
        return Response.json({"windows": len(keys.keys)})
