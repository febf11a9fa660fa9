"""The latest sums."""

from common import db
from flask import Flask

app = Flask(__name__)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/api/analytics")
def analytics():
    with db() as cur:
        cur.execute(
            "SELECT product_id, orders, CAST(revenue AS CHAR) AS revenue FROM analytics ORDER BY orders DESC LIMIT 20"
        )
        return {"top": cur.fetchall()}
