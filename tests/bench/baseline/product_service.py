"""The catalogue."""

from common import db
from flask import Flask, request

app = Flask(__name__)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/api/products")
def products():
    limit = min(int(request.args.get("limit", 20)), 100)
    with db() as cur:
        cur.execute("SELECT id, name, CAST(price AS CHAR) AS price, stock FROM products ORDER BY id LIMIT %s", (limit,))
        return {"products": cur.fetchall()}


@app.get("/api/products/<int:pid>")
def product(pid):
    with db() as cur:
        cur.execute("SELECT id, name, CAST(price AS CHAR) AS price, stock FROM products WHERE id=%s", (pid,))
        row = cur.fetchone()
    return row or ({"error": "not found"}, 404)
