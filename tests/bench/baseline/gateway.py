"""Forwards /api/<service>/... to the services over kept connections."""

import os
import threading

import requests
from flask import Flask, Response, request

app = Flask(__name__)
ROUTES = {
    "users": os.environ["USER_URL"],
    "products": os.environ["PRODUCT_URL"],
    "orders": os.environ["ORDER_URL"],
    "analytics": os.environ["ANALYTICS_URL"],
}
HOP = {
    "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization",
    "proxy-authenticate", "content-encoding", "content-length", "host",
}  # fmt: skip
_local = threading.local()


def session():
    if not hasattr(_local, "s"):
        _local.s = requests.Session()
        _local.s.trust_env = False  # no proxy / netrc lookups per request
        _local.s.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
    return _local.s


@app.get("/health")
def health():
    return {"status": "ok"}


@app.route("/api/<svc>", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "DELETE"])
@app.route("/api/<svc>/<path:rest>", methods=["GET", "POST", "PUT", "DELETE"])
def proxy(svc, rest):
    base = ROUTES.get(svc)
    if base is None:
        return {"error": "not found"}, 404
    try:
        r = session().request(
            request.method, base + request.full_path.rstrip("?"), data=request.get_data(),
            headers={k: v for k, v in request.headers if k.lower() not in HOP}, timeout=10, allow_redirects=False,
        )  # fmt: skip
    except requests.RequestException:
        return {"error": "bad gateway"}, 502
    return Response(r.content, r.status_code, [(k, v) for k, v in r.headers.items() if k.lower() not in HOP])
