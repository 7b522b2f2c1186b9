from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from workers import WorkerEntrypoint

DONE = []


@asynccontextmanager
async def lifespan(app):
    DONE.append("started")
    yield {"since": len(DONE)}
    DONE.append("stopped")
    print("the application has stopped")


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


@app.get("/")
async def root():
    return {"message": "Hello, World!"}


@app.get("/env")
async def env(req: Request):
    return {"greeting": req.scope["env"].GREETING, "since": req.state.since, "client": req.client}


@app.post("/items/{item_id}", status_code=201)
async def create(item_id: int, item: Item, background: BackgroundTasks):
    background.add_task(DONE.append, f"task {item_id}")
    return {"id": item_id, **item.model_dump()}


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/fails")
async def fails():
    raise RuntimeError("on purpose")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        import asgi

        return await asgi.fetch(app, request.js_object, self.env)
