"""The rendered overlays of k8s/monitoring, without a cluster."""

import pytest
import yaml
from shop import ROOT, documents

FILES = ROOT / "monitoring"
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
# Asks the API server, and so needs its token.
ASK = {"prometheus", "kube-state-metrics"}
# `kubectl apply` keeps what it applied in an annotation, and all annotations together may have 256 KiB.
CONFIG_MAX = 200 * 1024


@pytest.fixture(scope="module", params=["local", "eks"])
def docs(request):
    return documents(ROOT / "k8s" / "monitoring" / "overlays" / request.param)


def of_kind(docs, *kinds):
    return {doc["metadata"]["name"]: doc for doc in docs if doc["kind"] in kinds}


def configs(docs):
    """File name -> text, of all ConfigMaps; the names of generated ones end in a hash."""
    return {file: text for doc in of_kind(docs, "ConfigMap").values() for file, text in doc["data"].items()}


def test_all_rules_and_dashboards_are_there(docs):
    there = configs(docs)
    for file in [
        *FILES.glob("prometheus/rules/*.yml"),
        *FILES.glob("grafana/dashboards/*.json"),
        *FILES.glob("alertmanager/*.yml"),
    ]:
        assert there.pop(file.name) == file.read_text(encoding="utf-8"), file.name
    assert there.keys() == {"prometheus.yml", "datasource.yml", "dashboards.yml"}


def test_no_config_is_too_large_for_kubectl_apply(docs):
    for name, doc in of_kind(docs, "ConfigMap").items():
        assert len(yaml.safe_dump(doc)) < CONFIG_MAX, name


def test_only_node_exporter_is_not_restricted(docs):
    namespaces = of_kind(docs, "Namespace")
    enforced = {name: doc["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for name, doc in namespaces.items()}
    assert enforced == {"monitoring": "restricted", "monitoring-node": "privileged"}
    assert [
        doc["metadata"]["name"]
        for doc in docs
        if doc["kind"] in WORKLOADS and doc["metadata"]["namespace"] == "monitoring-node"
    ] == ["node-exporter"]


def test_every_pod_is_closed(docs):
    for name, doc in of_kind(docs, *WORKLOADS).items():
        pod = doc["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is (name in ASK), name
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(pod.get(host) for host in ("hostNetwork", "hostPID", "hostIPC"))
        for box in pod["containers"]:
            assert box["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert {"memory"} <= box["resources"]["limits"].keys() and "cpu" not in box["resources"]["limits"]
            assert {"cpu", "memory"} <= box["resources"]["requests"].keys()
            assert {"readinessProbe", "livenessProbe"} <= box.keys()
        for volume in pod.get("volumes", []):
            assert "hostPath" not in volume or name == "node-exporter", (name, volume["name"])


def test_rights_are_narrow(docs):
    """Nobody may write, nobody may see a Secret; across the cluster only nodes and their metrics."""
    for name, doc in of_kind(docs, "Role", "ClusterRole").items():
        for rule in doc["rules"]:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, name
            assert not {"*", "secrets", "nodes/proxy", "pods/exec"} & set(rule["resources"]), name
    for name, doc in of_kind(docs, "ClusterRole").items():
        assert {one for rule in doc["rules"] for one in rule["resources"]} <= {"nodes", "nodes/metrics"}, name


def test_every_namespace_denies_by_default(docs):
    policies = [doc for doc in docs if doc["kind"] == "NetworkPolicy" and doc["spec"]["podSelector"] == {}]
    closed = [doc for doc in policies if set(doc["spec"]) == {"podSelector", "policyTypes"}]
    assert all(doc["spec"]["policyTypes"] == ["Ingress", "Egress"] for doc in closed)
    assert {doc["metadata"]["namespace"] for doc in closed} == {"monitoring", "monitoring-node"}


def test_what_is_scraped_has_the_port_that_the_configuration_looks_for(docs):
    text = yaml.safe_load(configs(docs)["prometheus.yml"])
    port = next(one for job in text["scrape_configs"] if job["job_name"] == "monitoring"
                for one in job["relabel_configs"] if one.get("action") == "keep")["regex"]  # fmt: skip
    for name, doc in of_kind(docs, *WORKLOADS).items():
        if name != "grafana":
            names = [one["name"] for box in doc["spec"]["template"]["spec"]["containers"] for one in box["ports"]]
            assert port in names, name


def test_claims_say_what_they_are(docs):
    """The API server says it if they do not, and Argo CD shows a difference for ever."""
    for name, doc in of_kind(docs, "StatefulSet").items():
        for claim in doc["spec"].get("volumeClaimTemplates", []):
            assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim"), name


def test_alerts_on_eks_go_where_site_env_says():
    folder = ROOT / "k8s" / "monitoring" / "overlays" / "eks"
    settings = (folder / "site.env").read_text(encoding="utf-8").splitlines()
    relay = next(line.removeprefix("MAIL_RELAY=") for line in settings if line.startswith("MAIL_RELAY="))
    docs = documents(folder)
    assert of_kind(docs, "Service")["mail-sink"]["spec"]["externalName"] == relay
    assert "site" not in of_kind(docs, "ConfigMap") and "set-by" not in yaml.safe_dump_all(docs)


def steps_for_eks():
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    return text.partition("### EKS, step by step\n")[2].partition("\n### ")[0]


def test_the_steps_for_eks_bring_the_volumes_that_are_claimed():
    """A fresh EKS has no default StorageClass, and no driver for one."""
    sets = of_kind(documents(ROOT / "k8s" / "monitoring" / "overlays" / "eks"), "StatefulSet").values()
    claims = [claim for doc in sets for claim in doc["spec"].get("volumeClaimTemplates", [])]
    assert claims and not any("storageClassName" in claim["spec"] for claim in claims)
    storage = yaml.safe_load(steps_for_eks().partition("<<'YAML'\n")[2].partition("YAML\n")[0])
    assert storage["kind"] == "StorageClass" and storage["provisioner"] == "ebs.csi.aws.com"
    assert storage["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert "--addon-name aws-ebs-csi-driver" in steps_for_eks()


def test_the_steps_for_eks_name_every_file_of_own_values():
    steps = steps_for_eks()
    files = [str(path.relative_to(ROOT)) for path in ROOT.glob("k8s/**/site.env")]
    assert len(files) == 2
    for name in files:
        assert f"`{name}`" in steps, name
