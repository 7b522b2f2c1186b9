"""An API gateway: who asks shows a token (JWT, HS256), is counted, and is sent on to the servers of their plan.

The key is the secret JWT_KEY (`littoral secret put api-gateway JWT_KEY`).
"""

import time

from tokens import BadToken, claims_of
from workers import Response, WorkerEntrypoint, fetch

MINUTE_S = 60
NOT_PASSED_ON = {"authorization", "host", "content-length"}


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        try:
            claims = claims_of(request.headers["authorization"], self.env.JWT_KEY, time.time())
        except BadToken as error:
            return Response.json({"error": str(error)}, status=401, headers={"www-authenticate": "Bearer"})
        plan = self.env.PLANS[claims.get("plan", "free")]
        if await self.count(claims["sub"]) > plan["perMinute"]:
            error = f"{plan['perMinute']} requests a minute are in your plan"
            return Response.json({"error": error}, status=429, headers={"retry-after": str(MINUTE_S)})
        kept = {name: value for name, value in request.headers.items() if name not in NOT_PASSED_ON}
        return await fetch(
            plan["origin"] + request.path,
            method=request.method,
            headers={**kept, "x-user": claims["sub"]},
            body=request.body if request.method in ("POST", "PUT", "PATCH") else None,
        )

    async def count(self, user):
        """How many requests the user has made this minute at this node; two at once may count as one."""
        key = f"{user}/{int(time.time() // MINUTE_S)}"
        count = int(await self.env.COUNTS.get(key) or 0) + 1
        await self.env.COUNTS.put(key, str(count), expirationTtl=2 * MINUTE_S)
        return count
