"""Answers of origins on their way to clients, as they come."""

from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed
from littoral.wire.caching.fields import without

LENGTH = frozenset({"content-length"})


async def pass_on(exchange: Exchange, answer: OriginAnswer, fields: Fields, extra: Fields) -> None:
    """Give the client that has asked for it what an origin answers, as it comes. Raises ClientGone."""
    if answer.personal:
        extra = (*extra, *answer.personal)
    if answer.whole is not None:
        answer.close()
        kept = fields if exchange.method == "HEAD" else without(fields, LENGTH)
        exchange.respond(answer.status, FieldBlock(kept), extra, answer.whole)
        return
    try:
        await exchange.begin(answer.status, FieldBlock(fields), extra)
        while piece := await answer.read():
            await exchange.send(piece)
        await exchange.end(answer.trailers)
    except OriginFailed:
        exchange.abort()
    finally:
        answer.close()


async def read_whole(answer: OriginAnswer) -> bytes:
    """The body of an answer, which is closed then. Raises OriginFailed."""
    if answer.whole is not None:
        answer.close()
        return answer.whole
    pieces = []
    try:
        while piece := await answer.read():
            pieces.append(piece)
    finally:
        answer.close()
    return b"".join(pieces)
