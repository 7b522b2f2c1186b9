from flask import Flask, jsonify, redirect, request

app = Flask(__name__)


@app.get("/")
def root():
    return f"moin {request.environ['workers.env'].GREETING}"


@app.post("/form")
def form():
    return jsonify(name=request.form["name"], args=request.args.to_dict(), cookie=request.cookies.get("a"))


@app.get("/stream")
def stream():
    return (f"{number}\n" for number in range(3)), {"content-type": "text/plain"}


@app.get("/away")
def away():
    return redirect("/")
