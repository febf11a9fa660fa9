"""The shop in a cluster, as these tests see it: kubectl, and pods that send requests inside."""

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests"))

import waiting  # noqa: E402

ARCHIVES = pathlib.Path(os.environ.get("K8S_ARCHIVES", ROOT / "build" / "archives"))
CLUSTER = HERE / "cluster" / "cluster"
NAMESPACE, CLIENTS = "shop", "shop-clients"
CLIENT_PODS = ["client", "client2"]
GATEWAY = "http://gateway.shop:8080"
TOOL_IMAGE = "localhost/shop-test:1"
# Programs by what runs them.
STATELESS = ["gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc"]
PROGRAMS = [*STATELESS, "processor"]
DEPLOYMENTS = [*STATELESS, "frontend"]
# Each look is a kubectl.
until = functools.partial(waiting.until, pause=0.2)


def run(*command, text=None, check=True, seconds=300):
    done = subprocess.run(
        [str(part) for part in command], input=text, capture_output=True, text=True, check=False, timeout=seconds
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done


class Cluster:
    """kubectl on one cluster: that of KUBECONFIG, or the one that tests/k8s/cluster made."""

    def __init__(self):
        self.given = bool(os.environ.get("KUBECONFIG"))
        self.kubectl = "kubectl" if self.given else str(CLUSTER)
        self.first = [] if self.given else ["k"]

    def k(self, *args, **more):
        return run(self.kubectl, *self.first, *args, **more)

    def out(self, *args, **more):
        return self.k(*args, **more).stdout.strip()

    def json(self, *args):
        return json.loads(self.out(*args, "-o", "json"))

    def apply(self, text, check=True, **more):
        return self.k("apply", "-f", "-", text=text, check=check, **more)

    def load(self, *archives):
        """Brings images to the nodes."""
        if not self.given:
            run(CLUSTER, "load", *archives, seconds=600)
            return
        for archive in archives:
            run(*os.environ["K8S_LOAD"].split(), archive, seconds=600)

    def machine(self, command, node):
        """node-stop, node-start: only where we own the machines."""
        run(CLUSTER, command, node)


class Shop:
    def __init__(self, cluster):
        self.cluster = cluster

    def k(self, *args, **more):
        return self.cluster.k("-n", NAMESPACE, *args, **more)

    def out(self, *args, **more):
        return self.k(*args, **more).stdout.strip()

    def json(self, *args):
        return self.cluster.json("-n", NAMESPACE, *args)

    # ---- what runs ----

    def pods(self, name=None, selector=None):
        """Pods of a program that do not end."""
        selector = selector or f"app.kubernetes.io/name={name}"
        items = self.json("get", "pods", "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, name):
        """How many pods of a program are ready."""
        return sum(is_ready(pod) for pod in self.pods(name))

    def image(self, name, container=0):
        return self.json("get", "deployment", name)["spec"]["template"]["spec"]["containers"][container]["image"]

    def rollout(self, name, seconds=180):
        self.k("rollout", "status", f"deployment/{name}", f"--timeout={seconds}s", seconds=seconds + 10)

    def secret(self, name, key):
        return self.out("get", "secret", name, "-o", f"go-template={{{{index .data \"{key}\" | base64decode}}}}")

    def all_ready(self, seconds=180):
        """Every Deployment and StatefulSet of the programs has what it wants, and is of one version."""
        names = [f"deployment/{name}" for name in DEPLOYMENTS] + ["statefulset/processor"]
        for name in names:
            self.k("rollout", "status", name, f"--timeout={seconds}s", seconds=seconds + 10)

    # ---- requests from inside ----

    def tool(self, *args, pod="client", namespace=CLIENTS, **more):
        """Runs the test tool in a pod; its JSON."""
        done = self.cluster.k("-n", namespace, "exec", pod, "--", "/tool", *args, **more)
        return json.loads(done.stdout)

    def request(self, method, path, body=None, headers=(), base=GATEWAY):
        """status, headers, and the body as text (`json`: decoded)."""
        text = json.dumps(body) if body is not None else ""
        answer = self.tool("request", method, base + path, text, *headers)
        with contextlib.suppress(ValueError):
            answer["json"] = json.loads(answer["body"])
        return answer

    def load(self, *args, pod="client"):
        """Starts a load; `.result()` waits for its report."""
        return Load(self, args, pod)

    def admin_token(self):
        body = {"email": "admin@example.com", "password": self.secret("demo-data", "admin_password")}
        answer = self.request("POST", "/api/auth/login", body)
        assert answer["status"] == 200, answer
        return answer["json"]["access_token"]


def is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


class Load:
    def __init__(self, shop, args, pod):
        command = [shop.cluster.kubectl, *shop.cluster.first, "-n", CLIENTS, "exec", pod, "--", "/tool", "load"]
        self.child = subprocess.Popen(
            [*command, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def running(self):
        return self.child.poll() is None

    def result(self, seconds=300):
        out, errors = self.child.communicate(timeout=seconds)
        assert self.child.returncode == 0, errors
        return json.loads(out)

    def end(self):
        if self.running():
            self.child.kill()
            self.child.communicate()


def served(report, *statuses):
    """Did a load send requests, none of which failed or had an answer of another status?"""
    return report["sent"] > 0 and report["failed"] == 0 and set(report["statuses"]) <= set(statuses)


def documents(folder):
    """What Kustomize makes of a folder; kubectl has it built in."""
    alone = ROOT / "build" / "k8s" / "bin" / "kustomize"
    text = run(alone, "build", folder).stdout if alone.exists() else Cluster().out("kustomize", folder)
    return [doc for doc in yaml.safe_load_all(text) if doc]


# One a node, as far as there are nodes: when a node fails, somebody is left to ask the others.
APART = {
    "topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
    "nodeTaintsPolicy": "Honor",
    "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": CLIENT_PODS}]},
}  # fmt: skip


def test_pod(name, namespace, labels=None, ready=True):
    """A pod of the test tool, restricted like all others."""
    closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "tool", "image": TOOL_IMAGE, "args": ["wait"], "imagePullPolicy": "IfNotPresent",
        "securityContext": closed, "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }  # fmt: skip
    if not ready:
        # Never ready, so that no Service takes it for what its labels say.
        container["readinessProbe"] = {"exec": {"command": ["/tool", "false"]}, "periodSeconds": 10}
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
        "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}
            },
            "containers": [container], "topologySpreadConstraints": [APART] if name in CLIENT_PODS else [],
        },
    })  # fmt: skip


test_pod.__test__ = False  # pytest collects what is named so
