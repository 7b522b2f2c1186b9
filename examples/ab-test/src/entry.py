"""Two versions of a page. A visitor sees the same one each time, by a cookie; each view is a data point.

`littoral stream read NODE/analytics/landing-views` (or what reads that stream) has the outcome.
"""

import random
from http.cookies import SimpleCookie

from workers import Response, WorkerEntrypoint

COOKIE = "landing"
PAGES = {"old": "<h1>Cups</h1>", "new": "<h1>Cups that last</h1>"}
A_MONTH_S = 30 * 24 * 3600


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        cookies = SimpleCookie(request.headers["cookie"] or "")
        version = cookies[COOKIE].value if COOKIE in cookies else ""
        headers = {"content-type": "text/html; charset=utf-8", "cache-control": "private, no-store"}
        if version not in PAGES:
            version = "new" if random.random() * 100 < self.env.SHARE_OF_NEW else "old"
            headers["set-cookie"] = f"{COOKIE}={version}; Max-Age={A_MONTH_S}; Path=/; HttpOnly; SameSite=Lax"
        self.env.VIEWS.writeDataPoint({"indexes": [version], "blobs": [request.path], "doubles": [1]})
        return Response(PAGES[version], headers=headers)
