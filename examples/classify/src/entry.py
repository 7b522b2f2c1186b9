"""Says of the last hour of a machine's temperature whether the machine is failing, at the node beside the machine: POST twelve
readings in °F, one for every five minutes, as a JSON list, or a list of such lists."""

from workers import AIError, Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        readings = await request.json()
        hours = readings if readings and isinstance(readings[0], list) else [readings]
        try:
            found = await self.env.AI.run("machine", {"readings": hours})
        except AIError as error:
            return Response.json({"error": str(error)}, status=422)
        return Response.json(
            [
                {"failing": label == 1, "probability": round(probability, 3)}
                for label, probability in zip(found["label"], found["probability"], strict=True)
            ]
        )
