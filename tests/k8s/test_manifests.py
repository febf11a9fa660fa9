"""What the rendered overlays promise, read without a cluster."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from shop import PROGRAMS, ROOT, STATELESS, documents

PARTITIONS = 12
OVERLAYS = {
    **{path.name: path for path in (ROOT / "k8s" / "overlays").iterdir()},
    **{path.name: path for path in (ROOT / "tests" / "k8s" / "overlays").iterdir()},
}
BIN = ROOT / os.environ.get("BUILD", "build") / os.environ.get("MODE", "debug") / "bin"


# As docs/OPERATIONS.md says to do it, by a line in the overlay itself, so that its patches reach the component.
TAKEN_IN = {
    "eks with canary-order-svc": ("eks", "canary-order-svc"),
    "eks with external-metrics": ("eks", "external-metrics"),
    "eks with istio-order-svc": ("eks", "istio-order-svc", "canary-order-svc/workload"),
    "eks with kafka-scram": ("eks", "kafka-scram"),
    "eks with keda": ("eks", "keda"),
}
# What site.env says for a component.
OWN_VALUES = {"kafka-scram": (":9094", ":9096")}


def taken_in(folder, overlay, component, *resources):
    """A copy of k8s/ in which this overlay names this component, and the resources that it wants beside it."""
    shutil.copytree(ROOT / "k8s", folder / "k8s")
    file = folder / "k8s" / "overlays" / overlay / "kustomization.yaml"
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    text["resources"] += [f"../../components/{one}" for one in resources]
    text.setdefault("components", []).append(f"../../components/{component}")
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    if component in OWN_VALUES:
        values = file.parent / "site.env"
        values.write_text(values.read_text(encoding="utf-8").replace(*OWN_VALUES[component]), encoding="utf-8")
    return file.parent


@pytest.fixture(scope="module", params=sorted(OVERLAYS) + sorted(TAKEN_IN))
def overlay(request, tmp_path_factory):
    name = request.param
    folder = OVERLAYS.get(name) or taken_in(tmp_path_factory.mktemp("overlay"), *TAKEN_IN[name])
    docs = documents(folder)
    return {(doc["kind"], doc["metadata"]["name"]): doc for doc in docs}


def of_kind(overlay, *kinds):
    return [doc for (kind, _), doc in overlay.items() if kind in kinds]


def workloads(overlay):
    return of_kind(overlay, "Deployment", "StatefulSet", "Job")


def pod_of(doc):
    return doc["spec"]["template"]["spec"]


def is_program(doc):
    return doc["metadata"]["labels"].get("app.kubernetes.io/component") == "program"


def programs(overlay):
    return [doc for doc in workloads(overlay) if is_program(doc)]


def test_nothing_secret_is_in_git(overlay):
    assert of_kind(overlay, "Secret") == []
    for config in of_kind(overlay, "ConfigMap"):
        for name, value in config["data"].items():
            if any(word in name for word in ("PASSWORD", "SECRET", "SIGNING_KEY")):
                assert value.startswith("/run/secrets/"), name


def test_external_secrets_leave_nothing_to_fill_in(overlay):
    """What the operator's definitions set by themselves, Argo CD would show as a difference for ever."""
    filled = {"conversionStrategy", "decodingStrategy", "metadataPolicy", "nullBytePolicy"}
    for doc in of_kind(overlay, "ExternalSecret"):
        for source in doc["spec"]["dataFrom"]:
            assert set(source["extract"]) == {"key"} | filled, doc["metadata"]["name"]


def test_the_namespace_enforces_restricted(overlay):
    labels = overlay["Namespace", "shop"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_pod_is_closed(overlay):
    for doc in workloads(overlay):
        pod = pod_of(doc)
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for box in pod["containers"] + pod.get("initContainers", []):
            context = box["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "cpu" not in box["resources"]["limits"]
            assert {"cpu", "memory"} <= set(box["resources"]["requests"])
    for account in of_kind(overlay, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_programs_have_three_probes_and_drain(overlay):
    for doc in programs(overlay):
        box, pod = pod_of(doc)["containers"][0], pod_of(doc)
        assert box["startupProbe"]["httpGet"] == {"path": "/readyz?wait=1", "port": "admin"}
        assert box["startupProbe"]["timeoutSeconds"] > 1
        assert box["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
        assert box["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
        settings = settings_of(overlay, doc)
        drain = (int(settings["DRAIN_WAIT_MS"]) + int(settings["DRAIN_MAX_MS"])) / 1000
        sleep = box["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= sleep + drain + 5
        if doc["kind"] == "Deployment" and box["name"] != "gateway":
            # Evictions know no minReadySeconds: what it waits for in a rollout, preStop gives in a drain.
            assert sleep >= doc["spec"]["minReadySeconds"], doc["metadata"]["name"]
        spread = {one["topologyKey"]: one for one in pod["topologySpreadConstraints"]}
        assert set(spread) == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        for one in spread.values():
            # A drained zone would otherwise count as one that wants its pod back.
            assert one["whenUnsatisfiable"] == "ScheduleAnyway" or one["nodeTaintsPolicy"] == "Honor"


def test_rollouts_replace_before_they_end(overlay):
    for doc in of_kind(overlay, "Deployment"):
        assert doc["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert doc["spec"]["progressDeadlineSeconds"] <= 300
        assert not is_program(doc) or doc["spec"]["minReadySeconds"] >= 10


def scalers(overlay):
    """Target -> its least and most."""
    found = {}
    for doc in of_kind(overlay, "HorizontalPodAutoscaler"):
        found[doc["spec"]["scaleTargetRef"]["name"]] = (doc["spec"]["minReplicas"], doc["spec"]["maxReplicas"])
    for doc in of_kind(overlay, "ScaledObject"):
        name = doc["spec"]["scaleTargetRef"]["name"]
        assert name not in found, f"two autoscalers for {name}"
        found[name] = (doc["spec"]["minReplicaCount"], doc["spec"]["maxReplicaCount"])
    return found


def test_autoscalers_own_the_number_of_replicas(overlay):
    found = scalers(overlay)
    # A 13th processor would have no partition.
    wanted = {name: (2, 10) for name in STATELESS} | {"processor": (2, PARTITIONS)}
    assert set(STATELESS) <= set(found)
    assert found == {name: wanted[name] for name in found}
    for doc in of_kind(overlay, "Deployment", "StatefulSet"):
        name = doc["metadata"]["name"]
        assert ("replicas" in doc["spec"]) != (name in found), name
        if name not in found and (is_program(doc) or name == "frontend"):
            assert doc["spec"]["replicas"] >= 2


def behaviors(overlay):
    """Target -> how it grows and shrinks, whoever makes its autoscaler."""
    found = {}
    for doc in of_kind(overlay, "HorizontalPodAutoscaler"):
        found[doc["spec"]["scaleTargetRef"]["name"]] = doc["spec"]["behavior"]
    for doc in of_kind(overlay, "ScaledObject"):
        made = doc["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
        found[doc["spec"]["scaleTargetRef"]["name"]] = made["behavior"]
    return found


def test_autoscalers_grow_by_two_and_shrink_later(overlay):
    found = behaviors(overlay)
    assert set(found) == set(scalers(overlay))
    for name, behavior in found.items():
        up, down = behavior["scaleUp"], behavior["scaleDown"]
        assert [(one["type"], one["value"]) for one in up["policies"]] == [("Pods", 2)], name
        assert up["stabilizationWindowSeconds"] <= 30 <= down["stabilizationWindowSeconds"], name
        assert len(down["policies"]) == 1, name
    if "processor" in found:
        # Every change moves partitions.
        down = found["processor"]["scaleDown"]
        assert down["stabilizationWindowSeconds"] >= 600 and down["policies"][0]["value"] == 1


def cpu_targets(overlay):
    """Program -> percent of the requested CPU."""
    found = {}
    for doc in of_kind(overlay, "HorizontalPodAutoscaler"):
        for one in (metric["resource"] for metric in doc["spec"]["metrics"] if metric["type"] == "Resource"):
            assert (one["name"], one["target"]["type"]) == ("cpu", "Utilization")
            found[doc["spec"]["scaleTargetRef"]["name"]] = one["target"]["averageUtilization"]
    for doc in of_kind(overlay, "ScaledObject"):
        for one in (trigger for trigger in doc["spec"]["triggers"] if trigger["type"] != "kafka"):
            assert (one["type"], one["metricType"]) == ("cpu", "Utilization")
            found[doc["spec"]["scaleTargetRef"]["name"]] = int(one["metadata"]["value"])
    return found


def test_autoscalers_go_by_70_percent_of_the_cpu(overlay):
    """The processor's lag says more than its CPU."""
    assert cpu_targets(overlay) == {name: 70 for name in STATELESS}


def test_keda_talks_to_kafka_as_the_programs_do(overlay):
    kafka = next(doc["data"] for doc in of_kind(overlay, "ConfigMap") if "KAFKA_SECURITY_PROTOCOL" in doc["data"])
    for doc in of_kind(overlay, "ScaledObject"):
        asked = [one["metadata"] for one in doc["spec"]["triggers"] if one["type"] == "kafka"]
        assert [one["bootstrapServers"] for one in asked] == [kafka["KAFKA_BOOTSTRAP_SERVERS"]]
        assert [one.get("tls") == "enable" for one in asked] == [kafka["KAFKA_SECURITY_PROTOCOL"] == "SSL"]


def test_keda_takes_over_the_autoscaler_that_is_there(overlay):
    """Ours is gone from the cluster last, or never, and KEDA's webhook refuses a second one for the same target."""
    ours = {}
    if of_kind(overlay, "ScaledObject"):
        rendered = documents(OVERLAYS["external-metrics"])
        found = [doc for doc in rendered if doc["kind"] == "HorizontalPodAutoscaler"]
        ours = {doc["spec"]["scaleTargetRef"]["name"]: doc["metadata"]["name"] for doc in found}
    for doc in of_kind(overlay, "ScaledObject"):
        assert doc["metadata"]["annotations"]["scaledobject.keda.sh/transfer-hpa-ownership"] == "true"
        target = doc["spec"]["scaleTargetRef"]["name"]
        assert doc["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] == ours[target]


def test_budgets_guard_all_and_hold_up_no_drain(overlay):
    guarded = set()
    for doc in of_kind(overlay, "PodDisruptionBudget"):
        assert ("minAvailable" in doc["spec"]) != ("maxUnavailable" in doc["spec"])
        # In an outage no pod is ready; budgets must not keep them on a node that is to go.
        assert doc["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        guarded.add(doc["metadata"]["name"])
    assert {doc["metadata"]["name"] for doc in programs(overlay)} | {"frontend"} <= guarded


def is_eks(overlay):
    return bool(of_kind(overlay, "SecretStore"))


def memory_of(overlay, name):
    """Request and limit in Mi."""
    doc = overlay.get(("Deployment", name)) or overlay["StatefulSet", name]
    resources = pod_of(doc)["containers"][0]["resources"]
    return tuple(int(resources[kind]["memory"].removesuffix("Mi")) for kind in ("requests", "limits"))


def test_requests_of_the_seven_fit(overlay):
    """In 384 Mi, two pods of each; on EKS in more, because there no limit is above three times its request."""
    total = sum(2 * memory_of(overlay, name)[0] for name in PROGRAMS)
    assert total <= (640 if is_eks(overlay) else 384)


# Requests are what a program was measured to need while it works.  Whose limit is further above, in base, which has to
# fit a small machine: up to how many times, and for what.
ABOVE_THREE = {
    "user-svc": (3.4, "two password hashes at a time, 19 MiB each, which most seconds do not have"),
    "analytics-svc": (6.4, "MAX_USERS, and a second table while one shrinks: test_memory.py"),
    "processor": (6.7, "MAX_USERS_PER_PARTITION of all partitions, if it is alone: test_memory.py"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_limits_are_two_to_three_times_the_request(overlay, name):
    request, limit = memory_of(overlay, name)
    if is_eks(overlay) or name not in ABOVE_THREE:
        assert 2 <= limit / request <= 3
    else:
        most, reason = ABOVE_THREE[name]
        assert 3 < limit / request <= most, reason


def test_autoscalers_on_eks_do_not_start_at_a_trifle(overlay):
    """70 % of a small request is little: a sign-in takes a password hash."""
    for name in STATELESS if is_eks(overlay) else []:
        cpu = pod_of(overlay["Deployment", name])["containers"][0]["resources"]["requests"]["cpu"]
        assert int(cpu.removesuffix("m")) >= (100 if name in ("gateway", "user-svc", "order-svc") else 50), name


def test_policies_deny_first(overlay):
    deny = overlay["NetworkPolicy", "default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for doc in of_kind(overlay, "NetworkPolicy"):
        for rule in doc["spec"].get("egress", []) + doc["spec"].get("ingress", []):
            assert rule.get("ports"), f"{doc['metadata']['name']} opens all ports"


def port_of(address, default):
    found = re.search(r":(\d+)$", address)
    return int(found[1]) if found else default


def ports_needed(settings):
    """What a program connects to outside of the shop's own services, by its settings."""
    if "DB_HOST" in settings:
        yield int(settings.get("DB_PORT", 3306))
    for address in filter(None, settings.get("KAFKA_BOOTSTRAP_SERVERS", "").split(",")):
        yield port_of(address, 9092)
    if "SMTP_URL" in settings:
        yield port_of(settings["SMTP_URL"], 25)


def ports_out(overlay, doc):
    """The ports that any policy opens for these pods."""
    labels = doc["spec"]["template"]["metadata"]["labels"]
    boxes = [box for one in workloads(overlay) for box in pod_of(one)["containers"]]
    named = {port["name"]: port["containerPort"] for box in boxes for port in box.get("ports", []) if "name" in port}
    found = set()
    for policy in of_kind(overlay, "NetworkPolicy"):
        chosen = policy["spec"]["podSelector"].get("matchLabels", {})
        if chosen and chosen.items() <= labels.items():
            rules = policy["spec"].get("egress", [])
            found |= {named.get(port["port"], port["port"]) for rule in rules for port in rule["ports"]}
    return found


def test_policies_open_what_the_settings_name(overlay):
    seen = set()
    for doc in programs(overlay) + of_kind(overlay, "Job"):
        needed = set(ports_needed(settings_of(overlay, doc)))
        assert needed <= ports_out(overlay, doc), doc["metadata"]["name"]
        seen |= needed
    assert len(seen) >= 3  # database, Kafka, mail


@pytest.mark.parametrize(
    ("url", "block", "port"),
    [("smtp://relay.internal.example.com:2525", "10.0.80.25/32", 2525), ("smtps://mail.example.com:465", "0.0.0.0/0", 465)],
)
def test_the_way_to_any_mail_server_is_open(url, block, port, tmp_path):
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    file = tmp_path / "k8s" / "overlays" / "eks" / "site.env"
    text = re.sub(r"(?m)^SMTP_URL=.*", f"SMTP_URL={url}", file.read_text(encoding="utf-8"))
    file.write_text(re.sub(r"(?m)^SMTP_CIDR=.*", f"SMTP_CIDR={block}", text), encoding="utf-8")
    docs = {(doc["kind"], doc["metadata"]["name"]): doc for doc in documents(file.parent)}
    assert settings_of(docs, docs["Deployment", "notify-svc"])["SMTP_URL"] == url
    egress = docs["NetworkPolicy", "smtp-clients"]["spec"]["egress"]
    assert egress == [{"to": [{"ipBlock": {"cidr": block}}], "ports": [{"port": port}]}]


def number(file, pattern):
    return int(re.search(pattern, (ROOT / file).read_text(encoding="utf-8"))[1])


def test_the_load_balancer_closes_idle_connections_first(overlay):
    """Else it sends a request into a connection that the other end is closing: 502."""
    heartbeat = number("analytics-svc/stream.c", r"HEARTBEAT_MS +(\d+)000\n")
    gateway = number("gateway/client.c", r"IDLE_MS +(\d+)000\n")
    nginx = number("docker/nginx/default.conf.template", r"keepalive_timeout (\d+)s;")
    for doc in of_kind(overlay, "Ingress"):
        text = doc["metadata"]["annotations"]["alb.ingress.kubernetes.io/load-balancer-attributes"]
        idle = int(re.search(r"idle_timeout\.timeout_seconds=(\d+)", text)[1])
        assert 2 * heartbeat < idle < min(gateway, nginx)


def test_sidecars_reach_their_control_plane(overlay):
    """Policies deny what nobody allows, so Istio's sidecars need a way to istiod."""
    marks = [pod["metadata"]["labels"] for pod in (doc["spec"]["template"] for doc in workloads(overlay))]
    sidecars = [mark for mark in marks if mark.get("sidecar.istio.io/inject") == "true"]
    assert bool(sidecars) == bool(of_kind(overlay, "VirtualService"))
    for mark in sidecars:
        assert any(reaches_istiod(doc["spec"], mark) for doc in of_kind(overlay, "NetworkPolicy")), mark


def test_sidecars_end_after_their_programs(overlay):
    for doc in workloads(overlay):
        marks = doc["spec"]["template"]["metadata"]
        if "sidecar.istio.io/inject" in marks["labels"]:
            assert marks["annotations"]["sidecar.istio.io/nativeSidecar"] == "true", doc["metadata"]["name"]


def reaches_istiod(policy, mark):
    wanted = {
        "to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}},
            "podSelector": {"matchLabels": {"app": "istiod"}},
        }],
        "ports": [{"port": 15012}],
    }  # fmt: skip
    chosen = policy["podSelector"].get("matchLabels", {})
    return chosen and chosen.items() <= mark.items() and wanted in policy.get("egress", [])


def test_jobs_come_before_programs(overlay):
    def wave(doc):
        return int(doc["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0"))

    for doc in of_kind(overlay, "Job"):
        assert doc["metadata"]["annotations"]["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
        if doc["metadata"]["name"] != "demo-data":
            assert wave(doc) < min(wave(program) for program in programs(overlay))
    for doc in of_kind(overlay, "ConfigMap", "ServiceAccount", "NetworkPolicy"):
        assert wave(doc) < min(wave(job) for job in of_kind(overlay, "Job"))


def promised_seconds():
    """What --migrate may take: server, lock and one statement."""
    text = (ROOT / "common" / "db_migrate.c").read_text(encoding="utf-8")
    found = [re.search(pattern, text) for pattern in
             (r"SERVER_WAIT_MS +(\d+)000\n", r'LOCK_WAIT_S +"(\d+)"', r"timeout_ms = (\d+) \* 1000;")]  # fmt: skip
    return sum(int(one[1]) for one in found)


def test_jobs_may_take_what_migrations_take_and_keep_their_logs(overlay):
    kinds = {"topics": 0, "migration": 0}
    for doc in of_kind(overlay, "Job"):
        kind = doc["metadata"]["labels"].get("app.kubernetes.io/component")
        if kind not in kinds:
            continue
        kinds[kind] += 1
        # The page comes within minutes and is repeated; the log must be there in the morning.
        assert doc["spec"]["ttlSecondsAfterFinished"] >= 12 * 3600
        # OnFailure: the pod is deleted with its log when the Job gives up.
        assert pod_of(doc)["restartPolicy"] == "Never"
        if kind == "migration":
            assert doc["spec"]["activeDeadlineSeconds"] > promised_seconds() > 3600
    assert kinds == {"topics": 1, "migration": 4}


def settings_of(overlay, doc):
    """The environment of a workload's first container."""
    found = {}
    box = pod_of(doc)["containers"][0]
    for source in box.get("envFrom", []):
        found.update(overlay["ConfigMap", source["configMapRef"]["name"]]["data"])
    found.update({one["name"]: one["value"] for one in box.get("env", []) if "value" in one})
    return found


def mounted(doc, path):
    """Does the first container have this file by a volume that is there?"""
    pod, box = pod_of(doc), pod_of(doc)["containers"][0]
    volumes = {one["name"] for one in pod.get("volumes", [])}
    return any(path.startswith(one["mountPath"] + "/") and one["name"] in volumes for one in box.get("volumeMounts", []))


def test_every_secret_that_a_setting_names_is_mounted(overlay):
    for doc in workloads(overlay):
        for name, value in settings_of(overlay, doc).items():
            if value.startswith("/run/secrets/"):
                assert mounted(doc, value), f"{doc['metadata']['name']}: {name}={value}"


def test_with_scram_everybody_has_a_login_of_his_own(overlay):
    if ("ExternalSecret", "kafka-processor") not in overlay:
        return
    logins = set()
    for doc in workloads(overlay):
        if doc["spec"]["template"]["metadata"]["labels"].get("shop/kafka") != "client":
            continue
        settings = settings_of(overlay, doc)
        assert settings["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL", doc["metadata"]["name"]
        assert set(settings["KAFKA_SASL_USERNAME_FILE"].split("/")) > {"run", "secrets", "kafka"}
        volume = next(one for one in pod_of(doc)["volumes"] if one["name"] == "kafka")
        secret = overlay["ExternalSecret", volume["secret"]["secretName"]]
        assert secret["spec"]["dataFrom"][0]["extract"]["key"] == f"AmazonMSK_shop_{doc['metadata']['name']}"
        logins.add(secret["metadata"]["name"])
    assert len(logins) == 6


def test_every_setting_is_known_and_good(overlay, tmp_path):
    """Each program reads what its pod gets: names it knows, values it takes."""
    for doc in programs(overlay):
        name = pod_of(doc)["containers"][0]["name"]
        settings = settings_of(overlay, doc)
        known = known_settings(name)
        unknown = {key for key in settings if key not in known and key.removesuffix("_FILE") not in known}
        # The names that routes files ask for.
        assert unknown <= ({"ORDER_SVC_V2_URL", "ORDER_SVC_V2_ADMIN_URL"} if name == "gateway" else set()), unknown
        check_config(doc, settings, tmp_path)


def test_the_gateway_believes_whom_the_network_lets_in(overlay):
    """Its log names clients only when it trusts who stands in front of it, and on EKS that is the load balancer alone."""
    gateway = next(doc for doc in programs(overlay) if pod_of(doc)["containers"][0]["name"] == "gateway")
    trusted = settings_of(overlay, gateway)["TRUSTED_PROXIES"].split(",")
    policy = overlay.get(("NetworkPolicy", "load-balancer"))
    if policy:
        assert trusted == [policy["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"]]
    assert trusted


def known_settings(name):
    parts = json.loads(subprocess.run([BIN / name, "--settings-json"], capture_output=True, text=True, check=True).stdout)
    return {entry["name"] for entry in parts}


def check_config(doc, settings, folder):
    name = pod_of(doc)["containers"][0]["name"]
    env = {"HOSTNAME": f"{name}-0", "ROUTES_FILE": str(ROOT / "gateway" / "routes.json")}
    for key, value in settings.items():
        if value.startswith("/run/secrets/") and mounted(doc, value):
            file = folder / key
            file.write_text("x")
            value = str(file)
        if key == "ROUTES_FILE":
            value = f"{ROOT}/gateway/routes.json,{ROOT}/k8s/components/canary-order-svc/canary-routes.json"
        env[key] = value
    done = subprocess.run([BIN / name, "--check-config"], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["eks", *TAKEN_IN])
def test_pods_on_eks_run_where_the_images_do(name, tmp_path):
    """What is pushed is built on an amd64 machine, for that alone."""
    docs = documents(OVERLAYS.get(name) or taken_in(tmp_path, *TAKEN_IN[name]))
    pods = [pod_of(doc) for doc in docs if doc["kind"] in ("Deployment", "StatefulSet", "Job")]
    assert len(pods) >= len(PROGRAMS) + 1 + 5  # the frontend, the Jobs
    assert all(pod.get("nodeSelector") == {"kubernetes.io/arch": "amd64"} for pod in pods)
