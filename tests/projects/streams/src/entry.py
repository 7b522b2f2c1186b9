import asyncio

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method == "POST":
            length = 0
            async for chunk in request.body:
                length += len(chunk.to_bytes())
            return Response(str(length))
        return Response(self.count(3), headers={"content-type": "text/event-stream"})

    async def count(self, most):
        for number in range(most):
            await asyncio.sleep(0)
            yield f"data: {number}\n\n"
