from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def greet(request):
    return PlainTextResponse(f"moin {request.path_params['name']} {await request.body()!r}")


app = Starlette(routes=[Route("/greet/{name}", greet, methods=["GET", "POST"])])
