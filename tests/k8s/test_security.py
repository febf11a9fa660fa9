"""What a pod may be, what it may do, and what it may know."""

import json

import pytest
import yaml
from shop import CLIENTS, NAMESPACE, PROGRAMS, test_pod

SCHEMAS = ["user", "product", "order", "notify"]


def violations():
    """A pod that is allowed, and ways in which it would not be."""
    yield "root", lambda spec, box: spec["securityContext"].update(runAsNonRoot=False, runAsUser=0)
    yield "no seccomp", lambda spec, box: spec["securityContext"].pop("seccompProfile")
    yield "escalation", lambda spec, box: box["securityContext"].update(allowPrivilegeEscalation=True)
    yield "capability", lambda spec, box: box["securityContext"].update(capabilities={"add": ["NET_ADMIN"]})
    yield "privileged", lambda spec, box: box["securityContext"].update(privileged=True, allowPrivilegeEscalation=True)
    yield "host network", lambda spec, box: spec.update(hostNetwork=True)
    yield "host path", lambda spec, box: spec.update(volumes=[{"name": "host", "hostPath": {"path": "/"}}])


@pytest.mark.parametrize("what, break_it", violations(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_pod_outside_of_restricted_is_refused(shop, cluster, what, break_it):
    pod = yaml.safe_load(test_pod("intruder", NAMESPACE))
    break_it(pod["spec"], pod["spec"]["containers"][0])
    done = cluster.k("apply", "--dry-run=server", "-f", "-", text=yaml.safe_dump(pod), check=False)
    assert done.returncode and "violates PodSecurity" in done.stderr, what


def test_the_same_pod_unbroken_is_taken(shop, cluster):
    cluster.k("apply", "--dry-run=server", "-f", "-", text=test_pod("intruder", NAMESPACE))


def test_programs_have_no_token_and_run_as_they_should(shop):
    for name in [*PROGRAMS, "frontend"]:
        for pod in shop.pods(name):
            spec = pod["spec"]
            assert spec["automountServiceAccountToken"] is False
            mounts = [mount["mountPath"] for box in spec["containers"] for mount in box.get("volumeMounts", [])]
            assert not any("serviceaccount" in mount for mount in mounts)
            assert spec["securityContext"]["runAsUser"] == 10001
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_account_of_a_program_cannot_change_tables(shop, cluster, schema):
    """With its own password, from its own image: --migrate as the run-time account is refused."""
    job = yaml.safe_load(shop.out("get", "deployment", f"{schema}-svc", "-o", "yaml"))
    spec = job["spec"]["template"]["spec"]
    box = spec["containers"][0]
    name = f"try-{schema}"
    box["args"] = ["--migrate"]
    for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        box.pop(key)
    # A migration that is not there yet, so that there is something to do.
    spec["volumes"].append({"name": "more", "configMap": {"name": name}})
    box["volumeMounts"].append({"name": "more", "mountPath": "/more"})
    box["env"] = [{"name": "MIGRATIONS_DIR", "value": "/more"}]
    spec["restartPolicy"] = "Never"
    spec.pop("topologySpreadConstraints")
    labels = {"app.kubernetes.io/name": name, "shop/database": "client"}
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    shop.k("create", "configmap", name, "--from-literal=9999_x.sql=CREATE TABLE intruder (id INT);")
    try:
        cluster.apply(json.dumps(pod))
        shop.k("wait", "--for=jsonpath={.status.phase}=Failed", f"pod/{name}", "--timeout=60s")
        assert "denied" in shop.out("logs", name)
    finally:
        shop.k("delete", "pod,configmap", name, "--ignore-not-found", "--wait=true")


def test_the_job_that_makes_secrets_can_do_little_else(shop, cluster):
    def may(*what):
        who = f"--as=system:serviceaccount:{NAMESPACE}:make-secrets"
        return cluster.k("auth", "can-i", *what, who, "-n", NAMESPACE, check=False).stdout.strip() == "yes"

    assert may("create", "secrets") and may("get", "secrets/seed")
    refused = [
        ("list", "secrets"), ("get", "secrets/mysql"), ("delete", "secrets"), ("patch", "secrets"),
        ("get", "pods"), ("create", "pods"), ("get", "configmaps"),
    ]  # fmt: skip
    assert [what for what in refused if may(*what)] == []


def test_secrets_stay_the_same_when_the_job_runs_again(shop, cluster):
    names = ["seed", "mysql", "user-svc", "demo-data"]
    before = {name: shop.json("get", "secret", name)["metadata"]["resourceVersion"] for name in names}
    shop.k("delete", "job", "make-secrets", "--ignore-not-found")
    from conftest import OVERLAY

    cluster.k("apply", "-k", OVERLAY)
    shop.k("wait", "--for=condition=Complete", "job/make-secrets", "--timeout=90s")
    assert before == {name: shop.json("get", "secret", name)["metadata"]["resourceVersion"] for name in names}


def test_clients_have_no_way_to_the_secrets(shop, cluster):
    who = f"--as=system:serviceaccount:{CLIENTS}:default"
    assert cluster.k("auth", "can-i", "get", "secrets", who, "-n", NAMESPACE, check=False).stdout.strip() == "no"
