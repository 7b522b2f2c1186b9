from workers import Response, WorkerEntrypoint

RUNS = []


class Default(WorkerEntrypoint):
    async def scheduled(self, controller, env, ctx):
        RUNS.append((controller.cron, controller.scheduledTime, env.GREETING))

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            if message.body["n"] > 1:
                message.retry()
            else:
                message.ack()

    async def fetch(self):
        return Response("Look at the log to see the runs")

    async def add(self, a, b):
        return a + b
