"""Argo CD deploys the real local monitoring from git, with the demo's shop beside it.

Only Grafana is a stand-in: the demo's program, which answers its probes.
"""

import json
import subprocess
import time

import pytest
from argocd import Repository, running
from shop import HERE, ROOT, documents, run

OVERLAY = "k8s/monitoring/overlays/local"
DASHBOARD = "monitoring/grafana/dashboards/ecommerce.json"
DEMO = HERE / "argo/demo"
BUILT = ROOT / "build/k8s/monitoring"
UP_S = 240
WORKLOADS = {
    "monitoring": [
        "statefulset/prometheus", "statefulset/alertmanager", "deployment/kube-state-metrics", "deployment/grafana",
    ],
    "monitoring-node": ["daemonset/node-exporter"],
}  # fmt: skip
GRAFANA = """
patches:
  - target: {kind: Deployment, name: grafana}
    patch: |-
      - {op: replace, path: /spec/template/spec/containers/0/image, value: "localhost/argo-demo:one"}
      - {op: replace, path: /spec/template/spec/containers/0/ports/0/containerPort, value: 8080}
      - {op: add, path: /spec/template/spec/containers/0/args, value: [serve]}
"""


@pytest.fixture(scope="module")
def images(cluster, tmp_path_factory):
    """Those of the monitoring, and the demo's."""
    run(HERE / "monitoring/build", seconds=3600)
    folder = tmp_path_factory.mktemp("images")
    program, archive = folder / "demo", folder / "demo.tar"
    flags = ["-O1", "-static", '-DVERSION="one"']
    subprocess.run(["gcc", *flags, "-o", program, DEMO / "demo.c"], check=True)
    run(HERE / "cluster/mkimage.py", archive, "localhost/argo-demo:one", "/demo", f"{program}=/demo")
    cluster.load(archive, *sorted(BUILT.glob("*.tar")))


@pytest.fixture(scope="module")
def argo(cluster, images, tmp_path_factory):
    with running(cluster, tmp_path_factory.mktemp("argocd")) as one:
        yield one
    # Roles of the cluster; the namespaces are gone.
    cluster.k("delete", "-k", ROOT / OVERLAY, "--ignore-not-found", "--timeout=120s")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("git") / "shop")
    made.take("k8s/overlays/local", DEMO / "shop")
    for folder in ("k8s/monitoring", "monitoring"):
        made.take(folder)
    made.edit(f"{OVERLAY}/kustomization.yaml", r"\Z", GRAFANA)
    made.commit("a shop that is watched")
    return made


@pytest.fixture(scope="module")
def monitoring(argo, repository, figures):
    """Brought up by one kubectl apply of the root Application."""
    began = time.monotonic()
    argo.bootstrap(repository)
    argo.settled(repository.head(), "monitoring", UP_S)
    figures["root Application to monitoring Synced and Healthy, s"] = round(time.monotonic() - began, 1)
    return argo


def configs(argo, name):
    """ConfigMaps of this name, whatever hash they end in."""
    items = argo.cluster.json("-n", "monitoring", "get", "configmaps")["items"]
    return [one for one in items if one["metadata"]["name"].rpartition("-")[0] == name]


def test_all_of_it_is_synced_and_healthy(monitoring, repository):
    """The shop and the root, too; and all that the overlay has is Argo CD's."""
    for name in ("monitoring", "shop", "root"):
        monitoring.settled(repository.head(), name, UP_S)
    resources = monitoring.app("monitoring")["status"]["resources"]
    assert len(resources) == len(documents(repository.folder / OVERLAY))
    assert {one["status"] for one in resources} == {"Synced"}
    for namespace, names in WORKLOADS.items():
        for name in names:
            monitoring.cluster.k("-n", namespace, "rollout", "status", name, "--timeout=10s")


def test_roles_that_are_deleted_by_hand_come_back(monitoring):
    """Of the cluster, and in the namespace of the shop."""
    roles = [("clusterrolebinding", "shop-prometheus", None), ("rolebinding", "kube-state-metrics", "shop")]
    for kind, name, namespace in roles:
        monitoring.cluster.k("delete", kind, name, *(["-n", namespace] if namespace else []))
    monitoring.until(lambda: all(monitoring.object(*role) for role in roles), 60, "monitoring")


def test_a_dashboard_that_no_annotation_could_hold(monitoring, repository):
    """It is applied by the server; the older ConfigMap goes, and Grafana's pods are new."""
    board = json.loads((repository.folder / DASHBOARD).read_text(encoding="utf-8"))
    text = json.dumps(board | {"description": "long " * 60_000})
    repository.write(DASHBOARD, text)
    revision = repository.commit("a long dashboard")
    monitoring.refresh("monitoring")
    monitoring.settled(revision, "monitoring", UP_S)
    (config,) = configs(monitoring, "grafana-dashboards-shop")
    assert config["data"]["ecommerce.json"] == text and len(text) > 256 * 1024
    assert "kubectl.kubernetes.io/last-applied-configuration" not in config["metadata"].get("annotations", {})
    pod = monitoring.object("deployment", "grafana", "monitoring")["spec"]["template"]["spec"]
    assert config["metadata"]["name"] in json.dumps(pod["volumes"])
