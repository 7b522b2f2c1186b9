"""Images in the size and the format that a client wants: those of `photos`, and those that it sends.

curl -H 'host: images.example' -H 'accept: image/avif' 'http://127.0.0.1:8787/sunset.jpg?width=320'
curl -H 'host: images.example' --data-binary @photo.jpg 'http://127.0.0.1:8787/?width=320'
"""

import asyncio
from contextlib import suppress

from pictures import WIDTHS, BadPicture, resized, wanted_type
from workers import CacheError, Response, WorkerEntrypoint, caches

SENT_BYTES = 8 << 20
DAY_S = 86_400
AT_ONCE = asyncio.Semaphore(2)
"""Each picture that is worked on takes memory and a processor; the others wait."""
NEEDS_WIDTH = f"width is to be a whole number from {WIDTHS[0]} to {WIDTHS[-1]}"


class Problem(Exception):
    """Why there is no picture: an answer by RFC 9457."""

    def __init__(self, status, title, detail, **headers):
        self.status, self.title, self.detail, self.headers = status, title, detail, headers


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        try:
            if request.method == "POST":
                picture = await sent(request)
                return answer(*await make(picture, width_of(request), request), f"private, max-age={DAY_S}")
            if request.method in ("GET", "HEAD"):
                return await self.photo(request)
            raise Problem(405, "Method Not Allowed", "GET a photo, or POST a picture", allow="GET, HEAD, POST")
        except Problem as problem:
            told = {"title": problem.title, "status": problem.status, "detail": problem.detail}
            headers = {"content-type": "application/problem+json", **problem.headers}
            return Response.json(told, status=problem.status, headers=headers)

    async def photo(self, request):
        """One of ours, as the cache has it, or made now."""
        width, kind = width_of(request), wanted_type(request.headers["accept"])
        key = f"{request.url.partition('?')[0]}?width={width}&type={kind}"
        if (kept := await caches.default.match(key)) is not None:
            return kept
        original = await self.env.ASSETS.fetch(request.url)
        if original.status != 200:
            raise Problem(404, "Not Found", f"there is no photo {request.path}")
        made = answer(*await make(await original.bytes(), width, request), f"public, max-age={DAY_S}")
        self.ctx.waitUntil(keep(key, made.clone()))
        return made


def width_of(request):
    text = request.query.get("width", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) in WIDTHS):
        raise Problem(400, "Bad Request", NEEDS_WIDTH)
    return int(text)


async def sent(request):
    """The body, as long as it is within bounds: what is too long is not read to its end."""
    parts, size = [], 0
    if request.body is not None:
        async for part in request.body:
            parts.append(part)
            size += len(part)
            if size > SENT_BYTES:
                raise Problem(413, "Content Too Large", f"a picture may have {SENT_BYTES} bytes")
    return b"".join(parts)


async def make(picture, width, request):
    kind = wanted_type(request.headers["accept"])
    try:
        async with AT_ONCE:
            # The worker answers others meanwhile: libvips computes without Python's lock.
            return await asyncio.to_thread(resized, picture, width, kind), kind
    except BadPicture as error:
        raise Problem(422, "Unprocessable Content", str(error)) from error


def answer(picture, kind, cache_control):
    return Response(picture, headers={"content-type": kind, "cache-control": cache_control, "vary": "accept"})


async def keep(key, made):
    # What is larger than a node keeps of an app is made again.
    with suppress(CacheError):
        await caches.default.put(key, made)
