"""k8s/argocd against what the overlays really contain: kinds, autoscalers, hooks, paths.  Needs only kubectl."""

import copy
import re
import shutil

import pytest
import yaml
from shop import ROOT, documents

PLACES = ["local", "eks"]
OVERLAYS = {"shop": "k8s/overlays/{}", "monitoring": "k8s/monitoring/overlays/{}"}


@pytest.fixture(scope="module")
def apps():
    return {place: documents(ROOT / f"k8s/argocd/apps/{place}") for place in PLACES}


class Rendered(dict):
    """Each overlay when it is asked for."""

    def __missing__(self, key):
        app, place = key
        self[key] = documents(ROOT / OVERLAYS[app].format(place))
        return self[key]


@pytest.fixture(scope="module")
def overlays():
    return Rendered()


def named(objects, kind, name):
    return next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))


def group_kind(one):
    group, _, version = one["apiVersion"].rpartition("/")
    return group, one["kind"]


def listed(project, field):
    return {(entry["group"], entry["kind"]) for entry in project["spec"].get(field, [])}


def kinds_differ(project, rendered):
    """Kinds that the overlays need and the project lacks, and those that it allows and nobody needs."""
    used = {group_kind(one) for objects in rendered for one in objects}
    allowed = listed(project, "namespaceResourceWhitelist") | listed(project, "clusterResourceWhitelist")
    return {"missing": used - allowed, "needless": allowed - used}


def namespaces_differ(project, rendered):
    used = {one["metadata"]["namespace"] for objects in rendered for one in objects if "namespace" in one["metadata"]}
    allowed = {entry["namespace"] for entry in project["spec"]["destinations"]}
    return {"missing": used - allowed, "needless": allowed - used}


def scaled(objects):
    scalers = ("HorizontalPodAutoscaler", "ScaledObject")
    targets = [one["spec"]["scaleTargetRef"] for one in objects if one["kind"] in scalers]
    return {(target.get("kind", "Deployment"), target["name"]) for target in targets}


def ignored(app):
    return {(entry["kind"], entry["name"]) for entry in app["spec"].get("ignoreDifferences", [])}


def wave(one):
    return int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0"))


def is_program(one):
    return one["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "program"


def jobs_are_wrong(objects):
    """Jobs that a second sync could not apply, or that do not hold the programs back."""
    programs = [wave(one) for one in objects if one["kind"] in ("Deployment", "StatefulSet") and is_program(one)]
    for job in (one for one in objects if one["kind"] == "Job"):
        notes, name = job["metadata"].get("annotations", {}), job["metadata"]["name"]
        if notes.get("argocd.argoproj.io/hook") not in ("Sync", "PostSync"):
            yield f"{name} is no hook"
        elif notes.get("argocd.argoproj.io/hook-delete-policy") != "BeforeHookCreation":
            yield f"{name} is in its own way"
        elif notes["argocd.argoproj.io/hook"] == "Sync" and "migrat" in name and wave(job) >= min(programs):
            yield f"{name} does not come before the programs"
        if "activeDeadlineSeconds" not in job["spec"]:
            yield f"{name} may run for ever"


def images(objects):
    for one in objects:
        spec = one.get("spec", {}).get("template", {}).get("spec", {})
        for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
            yield container["image"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("folder", ["apps", "root"])
def test_everything_comes_from_the_one_repository(place, folder):
    settings = yaml.safe_load((ROOT / "k8s/argocd/repository/repository.yaml").read_text(encoding="utf-8"))["data"]
    rendered = documents(ROOT / f"k8s/argocd/{folder}/{place}")
    assert {one["kind"] for one in rendered} == {"AppProject", "Application"}
    assert "set-by" not in yaml.safe_dump_all(rendered)
    for one in rendered:
        assert one["metadata"]["namespace"] == "argocd"
        if one["kind"] == "Application":
            source = one["spec"]["source"]
            assert (source["repoURL"], source["targetRevision"]) == (settings["url"], settings["revision"])
            assert (ROOT / source["path"] / "kustomization.yaml").exists(), source["path"]
            assert source["path"].endswith(place)
        else:
            assert one["spec"]["sourceRepos"] == [settings["url"]]


@pytest.mark.parametrize("app", OVERLAYS)
def test_projects_are_as_wide_as_needed_and_no_wider(app, apps, overlays):
    project = named(apps["local"], "AppProject", app)
    assert project["spec"] == named(apps["eks"], "AppProject", app)["spec"]
    rendered = [overlays[app, place] for place in PLACES]
    nothing = {"missing": set(), "needless": set()}
    assert kinds_differ(project, rendered) == nothing
    assert namespaces_differ(project, rendered) == nothing


def test_a_project_that_is_too_wide_or_too_narrow_is_seen(apps, overlays):
    rendered = [overlays["shop", place] for place in PLACES]
    wide = copy.deepcopy(named(apps["eks"], "AppProject", "shop"))
    wide["spec"]["clusterResourceWhitelist"].append({"group": "*", "kind": "*"})
    wide["spec"]["destinations"].append({"namespace": "kube-system"})
    assert kinds_differ(wide, rendered)["needless"] == {("*", "*")}
    assert namespaces_differ(wide, rendered)["needless"] == {"kube-system"}
    narrow = copy.deepcopy(named(apps["eks"], "AppProject", "shop"))
    narrow["spec"]["clusterResourceWhitelist"] = []
    assert kinds_differ(narrow, rendered)["missing"] == {("", "Namespace")}


@pytest.mark.parametrize("place", PLACES)
def test_what_autoscalers_own_is_ignored_and_nothing_else(place, apps, overlays):
    app = named(apps[place], "Application", "shop")
    assert scaled(overlays["shop", place]) == ignored(app)
    assert all(entry["jsonPointers"] == ["/spec/replicas"] for entry in app["spec"]["ignoreDifferences"])
    assert "RespectIgnoreDifferences=true" in app["spec"]["syncPolicy"]["syncOptions"]


# What may be taken into an overlay: where, and what Argo CD lacks without a component of its own.
REPLICAS = {("StatefulSet", "processor")}
ISTIO = {("networking.istio.io", "DestinationRule"), ("networking.istio.io", "VirtualService")}
TAKEN_IN = {
    "canary": ("local", None, set(), set()),
    "persistent-data": ("local", None, set(), set()),
    "next-schema": ("local", None, set(), set()),
    "keda": ("eks", "keda", {("keda.sh", "ScaledObject")}, REPLICAS),
    "external-metrics": ("eks", "external-metrics", set(), REPLICAS),
    "kafka-scram": ("eks", None, set(), set()),
    "istio": ("eks", "istio-order-svc", ISTIO, set()),
}


def applications(folder, place, component):
    """k8s/argocd/apps of a place, with a component of k8s/argocd/components."""
    shutil.copytree(ROOT / "k8s" / "argocd", folder / "argocd")
    file = folder / "argocd" / "apps" / place / "kustomization.yaml"
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    text["components"] += [f"../../components/{component}"] if component else []
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    return documents(file.parent)


def lacks(apps, objects):
    """Kinds that the project does not allow, and targets of autoscalers that git would set back."""
    project, app = named(apps, "AppProject", "shop"), named(apps, "Application", "shop")
    return kinds_differ(project, [objects])["missing"], scaled(objects) - ignored(app)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "tests" / "k8s" / "overlays").iterdir()))
def test_what_an_overlay_takes_in_has_its_component_here(name, apps, overlays, tmp_path):
    place, component, kinds, targets = TAKEN_IN[name]
    objects = documents(ROOT / "tests" / "k8s" / "overlays" / name)
    assert lacks(apps[place], objects) == (kinds, targets)
    wider = applications(tmp_path, place, component)
    assert lacks(wider, objects) == (set(), set())
    # And no wider than that.
    rendered = [objects, *(overlays["shop", one] for one in PLACES)]
    assert kinds_differ(named(wider, "AppProject", "shop"), rendered)["needless"] == set()


def test_every_component_here_is_tried():
    there = {path.name for path in (ROOT / "k8s" / "argocd" / "components").iterdir()}
    assert there == {component for _, component, _, _ in TAKEN_IN.values() if component}


@pytest.mark.parametrize("place", PLACES)
def test_jobs_can_run_again_and_come_first(place, overlays):
    objects = overlays["shop", place]
    assert any(one["kind"] == "Job" for one in objects)
    assert list(jobs_are_wrong(objects)) == []


@pytest.mark.parametrize("change", ["hook", "hook-delete-policy", "sync-wave"])
def test_a_job_that_would_stop_the_second_sync_is_seen(change, overlays):
    objects = copy.deepcopy(overlays["shop", "local"])
    for one in objects:
        if one["kind"] == "Job":
            del one["metadata"]["annotations"][f"argocd.argoproj.io/{change}"]
    assert list(jobs_are_wrong(objects))


def test_images_on_eks_are_by_digest(overlays):
    ours = [image for image in images(overlays["shop", "eks"]) if "/shop/" in image or image.startswith("shop/")]
    assert ours and all(re.search(r"/shop/[a-z-]+@sha256:[0-9a-f]{64}$", image) for image in ours), ours


@pytest.mark.parametrize("app", OVERLAYS)
@pytest.mark.parametrize("place", PLACES)
def test_a_mistake_in_git_cannot_delete_a_namespace(app, place, overlays):
    for one in overlays[app, place]:
        if one["kind"] == "Namespace":
            options = one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
            assert "Prune=false" in options, one["metadata"]["name"]


def test_what_is_tested_is_what_is_installed():
    installed = (ROOT / "k8s/argocd/install/kustomization.yaml").read_text(encoding="utf-8")
    tested = (ROOT / "tests/k8s/argo/go.mod").read_text(encoding="utf-8")
    version = re.search(r"github.com/argoproj/argo-cd/v\d+ (v[\d.]+)", tested)[1]
    assert f"/argo-cd/{version}/manifests/" in installed
