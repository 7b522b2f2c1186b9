from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.NOTES.put("greeting", "moin")
        return Response(await self.env.NOTES.get("greeting"))
