"""Answers of origins on their way to clients, as they come."""

from littoral.core.remembered import Remembered
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import KEPT
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed
from littoral.wire.caching.fields import without
from littoral.wire.http_fields import may_be_remembered

LENGTH = frozenset({"content-length"})


async def pass_on(exchange: Exchange, answer: OriginAnswer, fields: Fields, extra: Fields) -> None:
    """Give the client that has asked for it what an origin answers, as it comes. Raises ClientGone."""
    if answer.whole is not None:
        pass_whole(exchange, answer, fields, extra)
        return
    if answer.personal:
        extra = (*extra, *answer.personal)
    try:
        await exchange.begin(answer.status, FieldBlock(fields), extra)
        while piece := await answer.read():
            await exchange.send(piece)
        await exchange.end(answer.trailers)
    except OriginFailed:
        exchange.abort()
    finally:
        answer.close()


def pass_whole(exchange: Exchange, answer: OriginAnswer, fields: Fields, extra: Fields) -> None:
    """The same, of an answer that is whole."""
    assert answer.whole is not None
    if answer.personal:
        extra = (*extra, *answer.personal)
    answer.close()
    block = FieldBlock(fields) if exchange.method == "HEAD" else whole_block(fields)
    exchange.respond(answer.status, block, extra, answer.whole)


def whole_block(fields: Fields) -> FieldBlock:
    """The fields of an answer that is given whole: its length follows from its body."""
    return _blocks[tuple(fields)]


def _without_length(fields: Fields) -> FieldBlock:
    return FieldBlock(without(fields, LENGTH))


_blocks = Remembered(_without_length, KEPT, may_be_remembered)


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
