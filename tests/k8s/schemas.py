#!/usr/bin/env python3
"""schemas.py FOLDER: JSON schemas for kubeconform, so that it needs no network.

Kubernetes' own come from the PyPI package kubernetes-validate (its references are made relative), those
of the operators and of Argo CD from the CustomResourceDefinitions in their Go modules.
"""

import json
import pathlib
import re
import subprocess
import sys

import yaml

KUBERNETES = "v1.35.0-local-strict"
# Module and version -> the files with the definitions that we use.
OPERATORS = {
    "github.com/kedacore/keda/v2@v2.17.2": ["config/crd/bases/keda.sh_scaledobjects.yaml"],
    # The commit of v2.8.0: since 2.0 the versions have no name that a Go module may have.
    "github.com/external-secrets/external-secrets@v1.3.3-0.20260806102745-bf4736a0d7db": [
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
        "config/crds/bases/external-secrets.io_secretstores.yaml",
    ],
    "istio.io/api@v1.26.2": ["kubernetes/customresourcedefinitions.gen.yaml"],
}
# Apart: a cluster has these by Argo CD itself.
ARGO_CD = ["manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"]
ARGO_CD_VERSION = pathlib.Path(__file__).parent / "argo" / "go.mod"

# What every object has, whether its definition says so or not.
TOP = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}


def module(name):
    """Where a Go module's files are."""
    command = ["go", "mod", "download", "-json", name]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    return pathlib.Path(json.loads(done.stdout)["Dir"])


def argo_cd():
    """Its module, of the version that the tests build."""
    found = re.search(r"(github\.com/argoproj/argo-cd/v3) (v\S+)", ARGO_CD_VERSION.read_text())
    return f"{found[1]}@{found[2]}"


def definitions(modules=OPERATORS):
    """Every CustomResourceDefinition in these files."""
    for name, files in modules.items():
        folder = module(name)
        for file in files:
            yield from filter(None, yaml.safe_load_all((folder / file).read_text()))


def strict(schema):
    """Unknown members are errors, as the API server would drop them."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: members(value) if key == "properties" else strict(value) for key, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema


def members(properties):
    """One of them may itself be called "properties"."""
    return {name: strict(schema) for name, schema in properties.items()}


def write_crds(folder):
    for crd in definitions({**OPERATORS, argo_cd(): ARGO_CD}):
        spec = crd["spec"]
        group = spec["group"].split(".")[0]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema.setdefault("properties", {}).update(TOP)
            name = f"{spec['names']['kind'].lower()}-{group}-{version['name']}.json"
            (folder / name).write_text(json.dumps(schema))


def write_kubernetes(folder):
    import kubernetes_validate  # in build/k8s/venv; the definitions above are used without it

    source = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES
    for path in source.glob("*.json"):
        schema = json.loads(path.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
        schema.pop("$id", None)  # references would be looked up there
        (folder / path.name).write_text(json.dumps(schema))


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_kubernetes(folder)
    write_crds(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
