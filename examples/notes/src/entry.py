"""A FastAPI application over a key-value namespace, without any glue: the module's `app` is what answers."""

from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

app = FastAPI(title="Notes")


class Note(BaseModel):
    text: str = Field(min_length=1, max_length=1000)


def namespace(request: Request):
    return request.scope["env"].NOTES


Namespace = Annotated[object, Depends(namespace)]


@app.post("/notes", status_code=201)
async def write(note: Note, notes: Namespace) -> dict[str, str]:
    name = uuid4().hex
    await notes.put(name, note.model_dump_json())
    return {"id": name}


@app.get("/notes/{name}")
async def read(name: str, notes: Namespace) -> Note:
    found = await notes.get(name)
    if found is None:
        raise HTTPException(404, f"there is no note {name}")
    return Note.model_validate_json(found)


@app.delete("/notes/{name}", status_code=204)
async def delete(name: str, notes: Namespace) -> None:
    await notes.delete(name)
