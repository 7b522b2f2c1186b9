"""A price list in the currency of the visitor's country: by his address (`geoDatabases` of the node), or as the proxy before the node tells
(`countryHeader`)."""

from html import escape

from workers import Response, WorkerEntrypoint

PRICES_EUR = {"Espresso cup": 9.0, "Tea pot": 42.5, "Grinder": 129.0}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Prices</title>
<h1>Prices for {country}</h1>
<table>{rows}</table>
"""


def price(euros, currency):
    """As people write it there."""
    return currency["format"].format(f"{euros / currency['rate']:.2f}")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        country = request.cf.country or "DE"
        currency = self.env.CURRENCIES[self.env.COUNTRIES.get(country, "EUR")]
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{price(euros, currency)}</td></tr>\n" for name, euros in PRICES_EUR.items()
        )
        # A cache before the app keeps one page for each country, and not one for all.
        headers = {"content-type": "text/html; charset=utf-8", "cache-control": "max-age=300", "vary": "cf-ipcountry"}
        return Response(PAGE.format(country=escape(country), rows=rows), headers=headers)
