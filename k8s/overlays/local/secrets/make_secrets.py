"""make_secrets.py API-FOLDER SIGNING-KEY: creates the Secrets of a shop that has none yet.

Every password is derived from one random seed, which is a Secret itself and created first.  So a run
that was cut short, or a program that is added later, gets what belongs to the rest; a Secret that is
there stays as it is.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.request

API = "https://kubernetes.default.svc"
SEED = "seed"
TRIES = 20


class Cluster:
    def __init__(self, folder):
        self.token = (folder / "token").read_text()
        self.namespace = (folder / "namespace").read_text()
        self.tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))

    def _call(self, method, name="", body=None):
        url = f"{API}/api/v1/namespaces/{self.namespace}/secrets/{name}".rstrip("/")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(url, data, headers, method=method)
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=10, context=self.tls) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, {}
            except OSError:
                # Name service and network policies of a new pod take a moment.
                if attempt == TRIES - 1:
                    raise
                time.sleep(0.5)
        raise AssertionError("not reached")

    def create(self, name, values):
        """False when there is one of this name."""
        labels = {"app.kubernetes.io/part-of": "shop"}
        body = {
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "labels": labels}, "stringData": values,
        }  # fmt: skip
        status, _ = self._call("POST", body=body)
        if status not in (201, 409):
            sys.exit(f"creating {name}: the API server answered {status}")
        print(f"{name}: {'made' if status == 201 else 'is there'}", flush=True)
        return status == 201

    def read(self, name, key):
        status, answer = self._call("GET", name)
        if status != 200:
            sys.exit(f"reading {name}: the API server answered {status}")
        return base64.b64decode(answer["data"][key]).decode()


def the_seed(cluster):
    value = secrets.token_urlsafe(32)
    return value if cluster.create(SEED, {SEED: value}) else cluster.read(SEED, SEED)


def all_secrets(seed, signing_key):
    """Secret -> its files."""

    def derived(what):
        digest = hmac.new(seed.encode(), what.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    service = {"service-secret": derived("service-secret")}
    found = {"gateway": service, "analytics-svc": service}
    accounts = {"mysql_root": derived("mysql_root")}
    for name in ("user", "product", "order", "notify"):
        run, ddl = f"shop_{name}", f"shop_{name}_ddl"
        accounts |= {f"mysql_{account}": derived(account) for account in (run, ddl)}
        found[f"{name}-svc"] = {**service, "db-password": derived(run)}
        found[f"migrate-{name}-svc"] = {"db-password": derived(ddl)}
    found["user-svc"]["signing-key.json"] = signing_key
    found["mysql"] = accounts
    found["demo-data"] = {name: derived(name) for name in ("demo_password", "admin_password")}
    return found


def main(folder, signing_key):
    cluster = Cluster(pathlib.Path(folder))
    files = all_secrets(the_seed(cluster), pathlib.Path(signing_key).read_text())
    for name, values in files.items():
        cluster.create(name, values)


if __name__ == "__main__":
    main(*sys.argv[1:])
