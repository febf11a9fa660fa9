"""Argo CD's real repo server and application controller, and a git repository for them to follow.

They run as processes of this machine, in a network namespace of their own, and work on whatever cluster the tests have;
its API server is reached through a unix socket.  Git is a folder here, so no server is needed for it.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.parse

from shop import HERE, ROOT, run, until

K8S_DIR = pathlib.Path(os.environ.get("K8S_DIR", "/var/tmp/k8s-cluster"))
START_S = 90
NAMESPACES = ["shop", "monitoring", "monitoring-node", "argocd"]


@contextlib.contextmanager
def running(*args, **more):
    """An ArgoCD that works, and is gone afterwards with all that it made, also when its start failed."""
    one = ArgoCD(*args, **more)
    one.check_unused()
    try:
        yield one.start()
    finally:
        one.clean_up()
        one.stop()


class ArgoCD:
    def __init__(self, cluster, folder, resync=15):
        self.cluster = cluster
        self.folder = pathlib.Path(folder)
        self.resync = str(resync)
        self.processes = []

    def check_unused(self):
        """What is somebody's own must not be taken for ours when that is deleted."""
        for namespace in NAMESPACES:
            assert not self.object("namespace", namespace, None), f"the namespace {namespace} is in use"

    def start(self):
        run(HERE / "argo/build", seconds=3600)
        self.install()
        server = self.own_kubeconfig()
        socket = self.folder / "api.sock"
        self.spawn("socat", f"UNIX-LISTEN:{socket},fork", f"TCP:{server.hostname}:{server.port or 443}")
        until(socket.exists, START_S, "the way to the API server")
        self.spawn(
            "unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc",
            HERE / "argo/run", self.folder, str(server.port or 443),
        )  # fmt: skip
        until(lambda: self.check() and (self.folder / "ready").exists(), START_S, "Argo CD")
        return self

    def install(self):
        """As k8s/argocd/install does it: its definitions and settings, with ours over them."""
        self.cluster.k("apply", "-f", ROOT / "k8s/argocd/install/namespace.yaml")
        self.cluster.k("apply", "--server-side", "--force-conflicts", "-k", K8S_DIR / "argocd/crds")
        self.cluster.k("apply", "-n", "argocd", "-k", K8S_DIR / "argocd/config")
        patch = ROOT / "k8s/argocd/install/settings.yaml"
        self.cluster.k("-n", "argocd", "patch", "configmap", "argocd-cm", f"--patch-file={patch}")
        crds = ["crd/applications.argoproj.io", "crd/appprojects.argoproj.io"]
        self.cluster.k("wait", "--for=condition=Established", "--timeout=30s", *crds)

    def own_kubeconfig(self):
        """A copy for the namespace, where the API server is at 127.0.0.1; tells where it really is."""
        config = self.cluster.json("config", "view", "--raw", "--minify", "--flatten")
        cluster = config["clusters"][0]["cluster"]
        server = urllib.parse.urlsplit(cluster["server"])
        cluster["server"] = f"https://127.0.0.1:{server.port or 443}"
        cluster.setdefault("tls-server-name", server.hostname)
        own = self.folder / "kubeconfig"
        own.touch(mode=0o600)
        own.write_text(json.dumps(config), encoding="utf-8")
        return server

    def spawn(self, *command):
        env = {**os.environ, "ARGO_RESYNC": self.resync, "PATH": f"{K8S_DIR}/bin:{os.environ['PATH']}"}
        with open(self.folder / "processes.log", "a", encoding="utf-8") as log:
            started = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(started)

    def check(self):
        log = (self.folder / "processes.log").read_text(encoding="utf-8")
        assert all(process.poll() is None for process in self.processes), log
        return True

    def stop(self):
        """The namespace's first process takes the others with it."""
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes = []

    def clean_up(self):
        """What was deployed, and nothing else: the cluster may be somebody's own."""
        for name in ("root", "shop", "monitoring"):
            self.cluster.k("-n", "argocd", "delete", "application", name, "--ignore-not-found", check=False)
        self.cluster.k("delete", "clusterrole", "argo-demo-monitoring", "--ignore-not-found", check=False)
        self.cluster.k("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--timeout=120s", check=False)

    # ---- what people do with it ----

    def bootstrap(self, repository):
        """The one thing that is applied by hand."""
        self.cluster.k("apply", "-k", repository.folder / "k8s/argocd/root/local")

    def object(self, kind, name, namespace="shop"):
        """None if it is not there."""
        where = ["-n", namespace] if namespace else []
        done = self.cluster.k("get", kind, name, *where, "-o", "json", "--ignore-not-found")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def app(self, name="shop"):
        return self.object("applications.argoproj.io", name, "argocd") or {}

    def annotate(self, note, name="shop"):
        self.cluster.k("-n", "argocd", "annotate", "applications.argoproj.io", name, note, "--overwrite")

    def refresh(self, name="shop"):
        """What a webhook does after a push."""
        self.annotate("argocd.argoproj.io/refresh=hard", name)

    def terminate(self, name="shop"):
        """What `argocd app terminate-op` does."""
        patch = '{"status":{"operationState":{"phase":"Terminating"}}}'
        self.cluster.k("-n", "argocd", "patch", "applications.argoproj.io", name, "--type=merge", "-p", patch)

    def state(self, name="shop"):
        """(sync, of which revision, health, phase of the last operation, to which revision)"""
        status = self.app(name).get("status", {})
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        # A retry with the newest commit leaves the revision in the operation empty.
        to = operation.get("syncResult", {}).get("revision")
        health = status.get("health", {}).get("status")
        return sync.get("status"), sync.get("revision"), health, operation.get("phase"), to

    def is_settled(self, revision, name="shop"):
        """Where nothing differs no operation runs: the last one may be a failed one, to another commit."""
        sync, of, health, phase, to = self.state(name)
        ended = phase == "Succeeded" or (phase in ("Failed", "Error") and to != revision)
        return (sync, of, health) == ("Synced", revision, "Healthy") and ended

    def until(self, check, seconds=60, name="shop"):
        """Waits; says how the Application is if it was in vain."""
        try:
            until(check, seconds, pause=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.explain(name)}") from None

    def settled(self, revision, name="shop", seconds=90):
        """Until this commit is all there and well."""
        self.until(lambda: self.is_settled(revision, name), seconds, name)

    def explain(self, name="shop"):
        status = self.app(name).get("status", {})
        operation = status.get("operationState", {})
        unwell = [
            (one["kind"], one["name"], one.get("status"), one.get("health"))
            for one in status.get("resources", [])
            if one.get("status") != "Synced" or one.get("health", {}).get("status", "Healthy") != "Healthy"
        ]
        tasks = operation.get("syncResult", {}).get("resources", [])
        refused = [one.get("message") for one in tasks if one.get("status") == "SyncFailed"]
        said = [operation.get("message"), *refused, *(one["message"] for one in status.get("conditions", []))]
        return json.dumps([self.state(name), said, unwell], indent=1)


class Repository:
    """A git repository with k8s/argocd as it is, pointed at itself, and overlays to be changed."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.take("k8s/argocd")
        self.edit("k8s/argocd/repository/repository.yaml", r"url: .*", f"url: file://{self.folder}")

    def git(self, *args):
        who = {f"GIT_{role}_{key}": "tests@example.invalid" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(["git", *args], cwd=self.folder, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def take(self, path, source=None):
        """A folder of the project, or another one at its place."""
        shutil.copytree(source or ROOT / path, self.folder / path, dirs_exist_ok=True)

    def take_project(self):
        """Every file of the project that git knows or could know, but not the one that names the repository."""
        listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
        for name in filter(None, listed.split("\0")):
            source, target = ROOT / name, self.folder / name
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def remove(self, path):
        shutil.rmtree(self.folder / path)

    def write(self, path, text):
        (self.folder / path).write_text(text, encoding="utf-8")

    def edit(self, path, pattern, replacement):
        text = (self.folder / path).read_text(encoding="utf-8")
        changed, count = re.subn(pattern, replacement, text)
        assert count, f"{pattern} is not in {path}"
        self.write(path, changed)

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.head()

    def revert(self):
        self.git("revert", "--no-edit", "HEAD")
        return self.head()

    def head(self):
        return self.git("rev-parse", "HEAD")

    def restore(self, revision):
        """A commit with the files of an older one, if they differ."""
        self.git("read-tree", "-u", "--reset", revision)
        return self.commit("as before") if self.git("status", "--porcelain") else self.head()
