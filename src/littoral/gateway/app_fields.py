"""What an app is told of a request in header fields: what an origin would be, and what only the gateway knows of the client.

What is the same for all requests that say the same is remembered, as in `forwarding`.
"""

from littoral.core.remembered import Remembered
from littoral.gateway.exchange import Exchange
from littoral.gateway.forwarding import KEPT, SHARED, Asked, PassedOn, may_come_again, own_fields, passed_on
from littoral.wire import client_facts
from littoral.wire.told_fields import ToldFields

HeaderList = list[tuple[str, str]]


def app_fields(
    exchange: Exchange, asked: str, country_header: str, request_id: str, *, is_located: bool = False
) -> ToldFields | HeaderList:
    """asked: the authority that the client asked. country_header: in which a proxy before the gateway says where its client is; empty
    for none. is_located: whether the gateway itself has put that among the fields (client_facts.located). All fields, or where a trace
    begins with the request, those that do not follow from its id. Raises BadGateway for a request that has been here too often."""
    # An Asking takes longer to make than all that is asked of it.
    how = (
        exchange.method in SHARED,
        tuple(exchange.fields),
        asked,
        asked,
        exchange.scheme,
        exchange.version,
        exchange.client,
    )
    told, passed = _told[how, exchange.tls, country_header, is_located]
    return told if passed.asks is None else [*told.fields, *own_fields(passed, request_id)]


_How = tuple[Asked, str, str, bool]


def _tell(how: _How) -> tuple[ToldFields, PassedOn]:
    asked, tls, country_header, is_located = how
    passed = passed_on(asked)
    fields = list(passed.fields)
    if tls:
        fields.append((client_facts.TLS, tls))
    if country_header:
        fields += client_facts.country(asked[1], country_header)
    if is_located:
        fields += client_facts.told_place(asked[1])
    return ToldFields(tuple(fields)), passed


_told = Remembered(_tell, KEPT, lambda how: may_come_again(how[0]))
