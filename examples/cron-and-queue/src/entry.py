"""Every five minutes each machine is put into a queue, and whoever takes it from there writes a report: at least once, whatever
fails in between. `littoral cron list`, `littoral queue list`."""

from workers import Response, WorkerEntrypoint

MACHINES = ("press", "oven", "saw")


class Default(WorkerEntrypoint):
    async def scheduled(self, controller, env, ctx):
        since = f"{controller.scheduled_time:%Y-%m-%dT%H:%M}"
        await env.WORK.sendBatch([{"body": {"machine": machine, "since": since}} for machine in MACHINES])

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            machine, since = message.body.machine, message.body.since
            # The same report twice is one report: it stands under the same key.
            await env.REPORTS.put(
                f"{machine}/{since}", f"{machine} was looked at", metadata={"attempts": message.attempts}
            )
            message.ack()

    async def fetch(self, request):
        reports = await self.env.REPORTS.list()
        return Response.json([key.name for key in reports.keys])
