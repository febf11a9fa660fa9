"""Argo CD's real controllers follow a git repository with a small shop: k8s/argocd as it is, argo/demo as overlays.

The tests build on each other only through `demo`, which has everything synced and well before each.
"""

import subprocess
import time

import pytest
from argocd import Repository, running
from shop import HERE, is_ready, run, until

OVERLAY = "k8s/overlays/local"
DEMO = HERE / "argo/demo"
RESYNC_S = 5
# In this time the controller looks at an Application twice.
LOOKS_S = 2 * RESYNC_S + 4


@pytest.fixture(scope="module")
def images(cluster, tmp_path_factory):
    """The same program in two versions, `one` and `two`."""
    folder = tmp_path_factory.mktemp("images")
    for version in ("one", "two"):
        program, archive = folder / version, folder / f"{version}.tar"
        flags = ["-O1", "-static", f'-DVERSION="{version}"']
        subprocess.run(["gcc", *flags, "-o", program, DEMO / "demo.c"], check=True)
        run(HERE / "cluster/mkimage.py", archive, f"localhost/argo-demo:{version}", "/demo", f"{program}=/demo")
        cluster.load(archive)


@pytest.fixture(scope="module")
def argo(cluster, images, tmp_path_factory):
    with running(cluster, tmp_path_factory.mktemp("argocd"), resync=RESYNC_S) as one:
        yield one


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("git") / "shop")
    made.take(OVERLAY, DEMO / "shop")
    made.take("k8s/monitoring/overlays/local", DEMO / "monitoring")
    made.commit("a shop")
    return made


class Demo:
    """The demo shop as people see it."""

    def __init__(self, argo, repository):
        self.argo, self.git, self.cluster = argo, repository, argo.cluster
        self.object = argo.object

    def k(self, *args, **more):
        return self.cluster.k("-n", "shop", *args, **more)

    def push(self, message):
        """A commit, and Argo CD told of it; its revision."""
        revision = self.git.commit(message)
        self.argo.refresh()
        return revision

    def revert(self):
        revision = self.git.revert()
        self.argo.refresh()
        return revision

    def pods(self, name="gateway"):
        """Those that are not about to end."""
        items = self.cluster.json("-n", "shop", "get", "pods", "-l", f"app.kubernetes.io/name={name}")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, name="gateway"):
        return {pod["metadata"]["uid"] for pod in self.pods(name) if is_ready(pod)}

    def answers(self):
        """What the Service says, through the API server."""
        path = "/api/v1/namespaces/shop/services/http:gateway:http/proxy/"
        return self.cluster.out("get", "--raw", path, check=False)

    def replicas(self, name):
        return self.object("deployment", name)["spec"]["replicas"]

    def colour(self):
        return self.object("configmap", "settings")["data"]["colour"]

    def paint(self, colour):
        """By hand, not by git."""
        self.k("patch", "configmap", "settings", "-p", f'{{"data":{{"colour":"{colour}"}}}}')

    def image(self):
        return self.object("deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]["image"]

    def job(self):
        return (self.object("job", "migrations") or {}).get("metadata", {}).get("uid")

    def condition(self, kind):
        return any(one["type"] == kind for one in self.argo.app()["status"].get("conditions", []))

    def active(self, job):
        return (self.object("job", job) or {}).get("status", {}).get("active")


def stays(check):
    """For as long as the controller needs to look twice."""
    end = time.monotonic() + LOOKS_S
    while time.monotonic() < end:
        assert check()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def bootstrapped(argo, repository):
    argo.bootstrap(repository)
    return Demo(argo, repository)


@pytest.fixture
def demo(bootstrapped):
    """Synced and well before each test, and as it was after each."""
    bootstrapped.argo.check()
    before = bootstrapped.git.head()
    bootstrapped.argo.settled(before, seconds=180)
    until(lambda: len(bootstrapped.ready()) == 2 == len(bootstrapped.pods()), 60, "two pods of gateway")
    yield bootstrapped
    bootstrapped.k("scale", "deployment/gateway", "--replicas=2")
    bootstrapped.git.restore(before)
    bootstrapped.argo.refresh()


def test_the_root_brings_everything(demo):
    """Projects, both Applications, and what they deploy, from one kubectl apply."""
    head = demo.git.head()
    demo.argo.settled(head, "monitoring")
    demo.argo.settled(head, "root")
    assert demo.answers() == "one"
    assert demo.object("configmap", "dashboards", "monitoring")


def test_waves_and_hooks_are_in_order(demo):
    """Settings, then migrations to their end, then the programs."""
    settings = demo.object("configmap", "settings")["metadata"]["creationTimestamp"]
    job = demo.object("job", "migrations")
    gateway = demo.object("deployment", "gateway")["metadata"]["creationTimestamp"]
    assert settings <= job["metadata"]["creationTimestamp"]
    assert job["status"]["completionTime"] <= gateway


def test_what_is_deleted_by_hand_comes_back(demo):
    demo.k("delete", "service", "gateway")
    demo.argo.until(lambda: demo.object("service", "gateway"), 30)


def test_what_is_changed_by_hand_is_put_right(demo):
    demo.paint("red")
    demo.argo.until(lambda: demo.colour() == "green", 30)


def test_self_heal_runs_no_migration(demo):
    """A hook belongs to a commit, not to every repair."""
    before = demo.job()
    demo.k("delete", "configmap", "leftover")
    demo.argo.until(lambda: demo.object("configmap", "leftover"), 30)
    assert demo.job() == before


def test_what_leaves_git_leaves_the_cluster_and_nothing_else(demo):
    demo.k("create", "configmap", "by-hand")
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", r"  - leftover\.yaml\n", "")
    demo.argo.settled(demo.push("leftover goes"))
    assert demo.object("configmap", "leftover") is None
    assert demo.object("configmap", "by-hand")
    demo.k("delete", "configmap", "by-hand")


def test_the_namespace_survives_its_removal_from_git(demo):
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", r"  - namespace\.yaml\n", "")
    revision = demo.push("a mistake")
    demo.argo.until(lambda: demo.argo.state()[3:] == ("Succeeded", revision), 60)
    assert "deletionTimestamp" not in demo.object("namespace", "shop", None)["metadata"]
    assert len(demo.ready()) == 2


def test_a_commit_with_another_image_rolls_out_and_its_revert_rolls_back(demo):
    old, job = demo.ready(), demo.job()
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "newTag: one", "newTag: two")
    demo.argo.settled(demo.push("two"))
    assert demo.answers() == "two"
    assert len(demo.ready()) == 2 and not demo.ready() & old
    assert demo.job() != job
    demo.argo.settled(demo.revert())
    assert demo.answers() == "one"


def test_a_failed_migration_leaves_the_old_version_serving(demo):
    """The sync stops in the Job's wave, tries again as told, and takes the next commit at the next try."""
    old = demo.ready()
    demo.git.edit(f"{OVERLAY}/migrations.yaml", r'args: \[exit, "0"\]', 'args: [exit, "1"]')
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "newTag: one", "newTag: two")
    demo.push("a migration that fails")
    demo.argo.until(lambda: "Retrying attempt" in demo.argo.explain(), 60)
    job = demo.job()
    demo.argo.until(lambda: demo.job() not in (None, job), 60)
    assert demo.ready() == old and demo.answers() == "one"
    assert demo.image().endswith(":one")
    demo.argo.settled(demo.revert(), seconds=180)
    assert demo.ready() == old


def test_a_migration_that_hangs_can_be_ended(demo):
    """Until its deadline it holds up the next commit, its revert too; terminating the operation lets that in."""
    old = demo.ready()
    demo.git.edit(f"{OVERLAY}/migrations.yaml", r'args: \[exit, "0"\]', "args: [serve]")
    demo.git.edit(f"{OVERLAY}/migrations.yaml", "activeDeadlineSeconds: 60", "activeDeadlineSeconds: 600")
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "newTag: one", "newTag: two")
    hanging = demo.push("a migration that hangs")
    demo.argo.until(lambda: demo.argo.state()[3:] == ("Running", hanging) and demo.active("migrations"))
    reverted = demo.revert()
    stays(lambda: demo.argo.state()[3:] == ("Running", hanging))
    demo.argo.terminate()
    demo.argo.settled(reverted)
    assert demo.ready() == old


def test_an_image_that_never_gets_ready_leaves_the_old_one_serving(demo):
    """And is told as Degraded, not as something that may still come."""
    old = demo.ready()
    demo.git.edit(f"{OVERLAY}/gateway.yaml", r"args: \[serve\]", 'args: [exit, "1"]')
    demo.push("a program that ends at once")
    demo.argo.until(lambda: demo.argo.state()[2] == "Degraded", 60)
    assert demo.ready() == old and demo.answers() == "one"
    demo.argo.settled(demo.revert(), seconds=180)
    assert demo.ready() == old


def test_a_commit_that_does_not_render_changes_nothing(demo):
    old = demo.ready()
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "resources:", "resources:\n  - missing.yaml")
    demo.push("a file that is not there")
    demo.argo.until(lambda: demo.condition("ComparisonError"), 60)
    assert demo.ready() == old and demo.answers() == "one"
    demo.argo.settled(demo.revert())


FOREIGN = {
    "a cluster role": """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: argo-demo-everything}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
""",
    "a secret": """
apiVersion: v1
kind: Secret
metadata: {name: argo-demo-secret}
stringData: {password: in-git}
""",
    "another namespace": """
apiVersion: v1
kind: ConfigMap
metadata: {name: argo-demo-elsewhere, namespace: default}
""",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_the_project_does_not_allow_is_refused(demo, what):
    demo.git.write(f"{OVERLAY}/foreign.yaml", FOREIGN[what])
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "resources:", "resources:\n  - foreign.yaml")
    demo.push(what)
    demo.argo.until(lambda: "is not permitted in project" in demo.argo.explain(), 90)
    assert demo.object("clusterrole", "argo-demo-everything", None) is None
    assert demo.object("secret", "argo-demo-secret") is None
    assert demo.object("configmap", "argo-demo-elsewhere", "default") is None
    demo.argo.settled(demo.revert(), seconds=180)


def test_what_an_autoscaler_set_is_left_alone(demo):
    """Its Deployment is scaled as it does that; a Deployment that nobody else owns is put right meanwhile."""
    demo.k("scale", "deployment/gateway", "--replicas=4")
    demo.k("scale", "deployment/mail-sink", "--replicas=3")
    demo.argo.until(lambda: demo.replicas("mail-sink") == 1, 60)
    stays(lambda: demo.replicas("gateway") == 4)
    assert demo.argo.state()[0] == "Synced"


def test_a_commit_does_not_undo_what_an_autoscaler_set(demo):
    """RespectIgnoreDifferences: a sync applies the whole file, but not its number of replicas."""
    demo.k("scale", "deployment/gateway", "--replicas=4")
    demo.git.edit(f"{OVERLAY}/kustomization.yaml", "newTag: one", "newTag: two")
    demo.argo.settled(demo.push("two"))
    assert demo.replicas("gateway") == 4 and demo.answers() == "two"
    demo.argo.settled(demo.revert())
    assert demo.replicas("gateway") == 4


def test_it_can_be_told_to_keep_its_hands_off(demo):
    """For an emergency: skip-reconcile, which the root leaves on the Application."""
    demo.argo.annotate("argocd.argoproj.io/skip-reconcile=true")
    demo.paint("red")
    stays(lambda: demo.colour() == "red")
    demo.argo.annotate("argocd.argoproj.io/skip-reconcile-")
    demo.argo.until(lambda: demo.colour() == "green")


def test_applications_themselves_follow_git(demo):
    """An Application that is edited by hand is put right by the root."""
    patch = '{"spec":{"syncPolicy":{"automated":{"selfHeal":false}}}}'
    demo.cluster.k("-n", "argocd", "patch", "application", "shop", "--type=merge", "-p", patch)
    demo.argo.until(lambda: demo.argo.app()["spec"]["syncPolicy"]["automated"].get("selfHeal"), 60, "root")
