"""A small client of the shop's public API."""

import json
import time
import urllib.error
import urllib.request

from .ui import StackError

PATIENCE_S = 30  # a shop that has just started may need so long


class Api:
    """Calls the gateway; waits and tries again where the answer asks for it (429, 503)."""

    def __init__(self, base, token=None):
        self.base = base
        self.token = token

    def call(self, method, path, body=None, key=None):
        """Returns (status, decoded body)."""
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, answer = _send(request)
            if status not in (0, 429, 502, 503, 504) or time.monotonic() > deadline:
                return status, answer
            time.sleep(0.25)

    def must(self, method, path, body=None, key=None, allow=()):
        """As call(), but any status other than 2xx and `allow` ends the load."""
        status, answer = self.call(method, path, body, key)
        if 200 <= status < 300 or status in allow:
            return answer if 200 <= status < 300 else None
        raise StackError(f"{method} {path} answered {status or 'nothing'}: {_brief(answer)}")

    def pages(self, path, field, most=20):
        """All items of a list, at most `most` pages of 100."""
        joint = "&" if "?" in path else "?"
        cursor, items = "", []
        for _ in range(most):
            more = f"&cursor={cursor}" if cursor else ""
            answer = self.must("GET", f"{path}{joint}limit=100{more}")
            items += answer[field]
            cursor = answer.get("next_cursor")
            if not cursor:
                break
        return items


def _brief(answer):
    if isinstance(answer, dict):
        return f"{answer.get('code', '')} {answer.get('detail', '')}".strip()
    return str(answer)[:200]


def _send(request):
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(text) if text else None
    except ValueError:
        return status, text.decode("utf-8", "replace")
