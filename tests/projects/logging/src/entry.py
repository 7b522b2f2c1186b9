import logging

from js import console
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        console.log("from the console", {"a": 1})
        logger = logging.getLogger(__name__)
        logging.basicConfig(level=logging.INFO)
        logger.info("from logging")
        print("from print", dict(request.headers))
        return Response("logged")
