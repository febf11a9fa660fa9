"""The users."""

from common import db
from flask import Flask, request

app = Flask(__name__)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/api/users")
def users():
    limit = min(int(request.args.get("limit", 20)), 100)
    with db() as cur:
        cur.execute("SELECT id, name, email FROM users ORDER BY id LIMIT %s", (limit,))
        return {"users": cur.fetchall()}


@app.get("/api/users/<int:uid>")
def user(uid):
    with db() as cur:
        cur.execute("SELECT id, name, email FROM users WHERE id=%s", (uid,))
        row = cur.fetchone()
    return row or ({"error": "not found"}, 404)
