"""Rules for .github/workflows that actionlint does not know, and for each a change that breaks it."""

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github/workflows"
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))}
BUMPED = "k8s/overlays/eks/images/kustomization.yaml"
IMAGES, PUBLISH, SCAN = (f"./.github/workflows/{name}.yaml" for name in ("images", "publish", "scan"))
PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def scopes(permissions, level):
    return {scope for scope, value in permissions.items() if value == level}


def pins(name, text):
    for line in text.splitlines():
        used = re.match(r"\s*(?:- )?uses: (.*)$", line)
        if used and not used[1].startswith("./") and not PINNED.match(used[1]):
            yield f"not pinned to a commit with its version: {used[1]}"


def rights(name, text):
    workflow = yaml.safe_load(text)
    if workflow.get("permissions") != {}:
        yield "the workflow itself must have no permissions"
    for job_name, job in workflow["jobs"].items():
        permissions = job.get("permissions")
        if not isinstance(permissions, dict):
            yield f"{job_name}: no list of permissions"
            continue
        written = scopes(permissions, "write")
        if "contents" in written and len(written) > 1:
            yield f"{job_name}: writes to the repository and has {written - {'contents'}}"
        if written - {"contents", "id-token", "attestations"}:
            yield f"{job_name}: may write {written}"
        if "uses" not in job and "timeout-minutes" not in job:
            yield f"{job_name}: no time limit"


def steps(text):
    for name, job in yaml.safe_load(text)["jobs"].items():
        for step in job.get("steps", []):
            yield name, step


def scripts(name, text):
    for job, step in steps(text):
        if "${{" in step.get("run", ""):
            yield f"{job}: an expression inside a script; give it by env"


def secrets(name, text):
    if "aws-access-key-id" in text or re.search(r"secrets\.(?!GITHUB_TOKEN)", text):
        yield "a stored key"
    if "pull_request_target" in text or "workflow_run" in text:
        yield "foreign code with our rights"
    for job, step in steps(text):
        keeps = step.get("with", {}).get("persist-credentials")
        if "actions/checkout@" in step.get("uses", "") and keeps is not False and (name, job) != ("ci.yaml", "bump"):
            yield f"{job}: checkout leaves the token in the clone"


def loops(name, text):
    """Whoever pushes to main must not start himself again, nor run twice at a time."""
    workflow = yaml.safe_load(text)
    for job_name, job in workflow["jobs"].items():
        if not any("bump-images" in step.get("run", "") for step in job.get("steps", [])):
            continue
        trigger = workflow[True].get("push") or {}  # YAML 1.1 reads the key `on` as true
        if BUMPED not in trigger.get("paths-ignore", []):
            yield f"{job_name}: its own commit starts it again"
        alone = job.get("concurrency", {})
        if not alone.get("group") or "${{" in alone["group"] or alone.get("cancel-in-progress") is not False:
            yield f"{job_name}: not one at a time"


def existing(name, text):
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    scripts = [step.get("run", "") for _, step in steps(text)]
    # Matrices have commands too.
    scripts += re.findall(r"\brun: ([^|{}\n]+)", text)
    for script in scripts:
        for target in re.findall(r"\bmake ([a-z][\w-]*)", script):
            if target not in targets:
                yield f"there is no target {target}"
        for path in re.findall(r"\b((?:tools|docker)/[\w-]+)", script):
            if not (ROOT / path).exists():
                yield f"there is no {path}"


def loads_archives(steps_of_job):
    given = any(step.get("with", {}).get("name") == "images" for step in steps_of_job
                if "actions/download-artifact@" in step.get("uses", ""))  # fmt: skip
    return given and any("docker load" in step.get("run", "") for step in steps_of_job)


def same_images(name, text):
    """What is published is what was tested: nobody builds images again."""
    for job_name, job in yaml.safe_load(text)["jobs"].items():
        for step in job.get("steps", []):
            if "make test-containers" not in step.get("run", ""):
                continue
            if "images" not in job.get("needs", []) or not loads_archives(job["steps"]):
                yield f"{job_name}: does not take the archives"
            if step.get("env", {}).get("IMAGES_TAG") != "dev":
                yield f"{job_name}: builds images of its own"


def scripts_of(job):
    return "\n".join(step.get("run", "") for step in job.get("steps", []))


def publishes(name, text):
    """A workflow that publishes tests first, or asks whether that was done."""
    jobs = yaml.safe_load(text)["jobs"]
    for job_name, job in jobs.items():
        publishing = job.get("uses") == PUBLISH or "docker/retag" in scripts_of(job)
        if publishing and not after_tests(jobs, job_name):
            yield f"{job_name}: publishes what nobody tested"


def one_build(name, text):
    """Images get into ECR by ci.yaml alone; a release tags those that are there, of the commit and the run that passed."""
    for job_name, job in yaml.safe_load(text)["jobs"].items():
        script = scripts_of(job)
        if job.get("uses") == PUBLISH and name != "ci.yaml":
            yield f"{job_name}: publishes beside ci.yaml"
        if re.search(r"docker/push|docker push", script) and name != "publish.yaml":
            yield f"{job_name}: pushes beside publish.yaml"
        if name == "release.yaml" and (
            job.get("uses") == IMAGES or re.search(r"make images|docker/images|docker build", script)
        ):
            yield f"{job_name}: builds anew what was tested"
    if name == "release.yaml":
        given = [value for _, step in steps(text) for value in step.get("env", {}).values()]
        for output in ("commit", "run"):
            if f"${{{{ needs.tested.outputs.{output} }}}}" not in given:
                yield f"does not take the {output} that tools/tested-commit found"


def scans_deployed(name, text):
    """A scan of what a build would give today says nothing about the images that run."""
    if name != "weekly.yaml":
        return
    jobs = yaml.safe_load(text)["jobs"]
    for job in jobs.values():
        before = jobs.get(job.get("needs"), {})
        if job.get("uses") == SCAN and uploaded_sboms(before) == job["with"]["sboms"]:
            return
    yield "does not scan what is deployed"


def uploaded_sboms(job):
    """The artifact with what tools/deployed-sboms found."""
    folder = re.search(r"tools/deployed-sboms (\S+)", scripts_of(job))
    for step in job.get("steps", []):
        if folder and step.get("with", {}).get("path") == f"{folder[1]}/*.spdx.json":
            return step["with"]["name"]
    return None


def after_tests(jobs, name):
    needs = jobs[name].get("needs", [])
    needs = [needs] if isinstance(needs, str) else needs
    asks = "tools/tested-commit" in scripts_of(jobs[name])
    return asks or {"test", "containers", "k8s"} <= set(needs) or any(after_tests(jobs, one) for one in needs)


RULES = [pins, rights, scripts, secrets, loops, existing, same_images, publishes, one_build, scans_deployed]
CHECKOUT = "uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"

# rule, file, what is changed, into what
MUTANTS = [
    (pins, "ci.yaml", CHECKOUT, "uses: actions/checkout@v7"),
    (pins, "ci.yaml", CHECKOUT, CHECKOUT.split(" #")[0]),
    (rights, "ci.yaml", "permissions: {}", "permissions: {contents: read}"),
    (rights, "ci.yaml", "permissions: {contents: write}", "permissions: write-all"),
    (rights, "ci.yaml", "permissions: {contents: write}", "permissions: {contents: write, id-token: write}"),
    (rights, "ci.yaml", "permissions: {contents: write}", "permissions: {packages: write}"),
    (rights, "k8s.yaml", "timeout-minutes: 60", "continue-on-error: false"),
    (scripts, "ci.yaml", '"$REGISTRY"', "${{ github.head_ref }}"),
    (secrets, "ci.yaml", "pull_request:", "pull_request_target:"),
    (secrets, "ci.yaml", "persist-credentials: false", "persist-credentials: true"),
    (secrets, "publish.yaml", "role-to-assume: ${{ vars.AWS_PUSH_ROLE }}", "aws-access-key-id: ${{ vars.KEY }}"),
    (secrets, "publish.yaml", "${{ vars.AWS_REGION }}", "${{ secrets.AWS_REGION }}"),
    (loops, "ci.yaml", f"paths-ignore: [{BUMPED}]", "paths-ignore: [README.md]"),
    (loops, "ci.yaml", "group: deploy-eks, cancel-in-progress: false", "group: deploy-eks, cancel-in-progress: true"),
    (loops, "ci.yaml", "group: deploy-eks", 'group: "deploy-${{ github.sha }}"'),
    (existing, "ci.yaml", "make lint-workflows", "make lint-workflow"),
    (existing, "ci.yaml", "{name: monitoring, run: make test-monitoring}", "{name: monitoring, run: make monitoring}"),
    (existing, "ci.yaml", "tools/bump-images", "tools/bump-image"),
    (same_images, "ci.yaml", "env: {IMAGES_TAG: dev}", "env: {IMAGES: dev}"),
    (same_images, "ci.yaml", "with: {name: images, path: build/archives}", "with: {name: sboms, path: build/archives}"),
    (same_images, "ci.yaml", "docker load", "docker image ls"),
    (publishes, "ci.yaml", "needs: [test, manifests, images, containers, k8s]", "needs: [test, manifests, images, k8s]"),
    (publishes, "release.yaml", 'tools/tested-commit "$GITHUB_SHA"', "echo tested"),
    (publishes, "release.yaml", "needs: tested", "needs: []"),
    (one_build, "release.yaml", "jobs:", "jobs:\n  build: {uses: ./.github/workflows/images.yaml}"),
    (one_build, "release.yaml", "jobs:", "jobs:\n  push: {uses: ./.github/workflows/publish.yaml}"),
    (one_build, "weekly.yaml", "jobs:", "jobs:\n  push: {uses: ./.github/workflows/publish.yaml}"),
    (one_build, "release.yaml", '"${retag[@]}"\n', "make images\n"),
    (one_build, "release.yaml", '"${retag[@]}"\n', "docker/images\n"),
    (one_build, "release.yaml", '"${retag[@]}"\n', 'docker/push --registry "$registry"\n'),
    (one_build, "release.yaml", "${{ needs.tested.outputs.commit }}", "${{ github.sha }}"),
    (one_build, "release.yaml", "${{ needs.tested.outputs.run }}", "${{ github.run_id }}"),
    (scans_deployed, "weekly.yaml", "tools/deployed-sboms", "tools/tested-files 1"),
    (scans_deployed, "weekly.yaml", "{sboms: deployed}", "{sboms: sboms}"),
    (scans_deployed, "weekly.yaml", "needs: deployed", "needs: images"),
    (scans_deployed, "weekly.yaml", "uses: ./.github/workflows/scan.yaml", "uses: ./.github/workflows/images.yaml"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", FILES)
def test_rule_holds(rule, name):
    assert list(rule(name, FILES[name])) == []


@pytest.mark.parametrize(("rule", "name", "old", "new"), MUTANTS, ids=lambda value: getattr(value, "__name__", None))
def test_rule_sees(rule, name, old, new):
    assert old in FILES[name]
    assert list(rule(name, FILES[name].replace(old, new)))


def test_the_same_images_everywhere():
    """The matrices, the bump and the overlay name the same eight."""
    tool = (ROOT / "tools/bump-images").read_text(encoding="utf-8")
    names = re.search(r'NAMES = "(.*)"', tool)[1].split()
    matrices = re.findall(r"image: \[(.*)\]", FILES["scan.yaml"] + FILES["publish.yaml"])
    assert len(matrices) == 2
    assert [matrix.split(", ") for matrix in matrices] == [names, names]
