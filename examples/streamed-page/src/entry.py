"""A page that is rendered on the server and sent as it is made: the browser shows its frame while the slow part is worked out."""

import asyncio
from html import escape

from workers import Response, WorkerEntrypoint

FRAME = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>\n<h1>Shop</h1>\n<ul>\n'
END = "</ul>\n</html>\n"


async def recommended(visitor):
    """What takes a while: each is given as soon as it is known."""
    for name in ("Espresso cup", "Tea pot", "Grinder"):
        await asyncio.sleep(0.05)
        yield f"<li>{escape(name)} for {escape(visitor)}</li>\n"


async def page(visitor):
    yield FRAME
    try:
        async for item in recommended(visitor):
            yield item
        yield END
    finally:
        # Also when the visitor leaves before the end.
        print(f"the page for {visitor} has ended")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        visitor = request.query.get("name", "you")
        return Response(page(visitor), headers={"content-type": "text/html; charset=utf-8"})
