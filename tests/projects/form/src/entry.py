from workers import File, Response, WorkerEntrypoint

PAGE = '<form method="post" enctype="multipart/form-data"><input name="name"><input name="photo" type="file"></form>'


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method != "POST":
            return Response(PAGE, headers={"content-type": "text/html;charset=UTF-8"})
        form = await request.form_data()
        told = {"name": form["name"], "missing": form["missing"], "tags": form.get_all("tag")}
        photo = form["photo"]
        if isinstance(photo, File):
            told["photo"] = [photo.name, photo.content_type, len(await photo.bytes())]
        return Response.json(told)
