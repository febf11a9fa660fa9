"""What needs operators that the test cluster does not run: the API server takes it, by their own definitions."""

import os

import pytest
import schemas
import yaml
from shop import ROOT, documents, until

OVERLAYS = [ROOT / "k8s" / "overlays" / "eks", *(ROOT / "tests" / "k8s" / "overlays").iterdir()]
WRONG = {
    "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "wrong", "namespace": "shop"},
    "spec": {"scaleTargetRef": {"name": "processor"}, "maxReplicaCount": "many", "triggers": []},
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions(cluster):
    if cluster.given and not os.environ.get("K8S_THROW_AWAY"):
        pytest.skip("a given cluster gets no definitions of ours, but with K8S_THROW_AWAY")
    crds = list(schemas.definitions())
    names = [crd["metadata"]["name"] for crd in crds]
    cluster.k("apply", "--server-side", "-f", "-", text=yaml.safe_dump_all(crds))
    cluster.k("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in names))
    yield
    cluster.k("delete", "crd", *names, "--wait=false")


def refusals(cluster, docs):
    text = yaml.safe_dump_all(docs)
    done = cluster.k("apply", "--dry-run=server", "-f", "-", text=text, check=False)
    return done.stderr if done.returncode else ""


def as_new(doc):
    """Jobs that are there, and volumes of a StatefulSet, cannot be changed, which is no fault of theirs."""
    if doc["kind"] not in ("Job", "StatefulSet"):
        return doc
    return {**doc, "metadata": {**doc["metadata"], "name": f"{doc['metadata']['name']}-new"}}


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_the_api_takes_it(shop, cluster, definitions, folder):
    docs = documents(folder)
    # The discovery of new kinds takes a moment.
    until(lambda: "no matches for kind" not in refusals(cluster, docs), 30, "the new kinds")
    assert refusals(cluster, [as_new(doc) for doc in docs]) == ""


def test_it_would_refuse_what_is_wrong(shop, cluster, definitions):
    assert "maxReplicaCount" in refusals(cluster, [WRONG])
