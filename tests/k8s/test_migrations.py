"""Tables change in steps: a step that fails stops the rollout, one that works is good for both versions."""

import pytest
import yaml
from conftest import OVERLAY
from shop import GATEWAY, HERE, NAMESPACE, ROOT, documents, served, until

NEXT = HERE / "overlays" / "next-schema"
CONFIG = "next-migrations"


def next_version(file, statement):
    """Job and Deployment of order-svc with one migration more, as a new image would have it."""
    files = {path.name: path.read_text() for path in (ROOT / "order-svc" / "migrations").glob("*.sql")}
    config = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG, "namespace": NAMESPACE},
        "data": {**files, file: statement + ";\n"},
    }  # fmt: skip
    wanted = {("Job", "migrate-order-svc"), ("Deployment", "order-svc")}
    return [config, *(doc for doc in documents(NEXT) if (doc["kind"], doc["metadata"]["name"]) in wanted)]


@pytest.fixture
def rollout(shop, cluster):
    """Applies a next version the way kubectl does: everything at once."""

    def apply(file, statement):
        shop.k("delete", "job", "migrate-order-svc", "--ignore-not-found")
        cluster.apply(yaml.safe_dump_all(next_version(file, statement)))

    yield apply
    shop.k("delete", "job", "migrate-order-svc", "--ignore-not-found")
    cluster.k("apply", "-k", OVERLAY)
    shop.all_ready()
    shop.k("delete", "configmap", CONFIG)


def test_a_failed_migration_leaves_the_old_version_serving(shop, loads, rollout):
    before = {pod["metadata"]["name"] for pod in shop.pods("order-svc")}
    load = shop.load("-url", f"{GATEWAY}/api/orders?user_id=1", "-rate", "40", "-seconds", "40")
    loads(load)
    rollout("9999_wrong.sql", "ALTER TABLE no_such_table ADD COLUMN x INT")
    until(lambda: len(shop.pods("order-svc")) > len(before), 30, "a pod of the new version")

    def failed():
        pods = shop.pods("migrate-order-svc")
        return any(state.get("restartCount", 0) or "terminated" in state.get("state", {})
                   for pod in pods for state in pod["status"].get("containerStatuses", []))  # fmt: skip

    until(failed, 60, "the failed migration")
    result = load.result()
    pods = {pod["metadata"]["name"]: pod for pod in shop.pods("order-svc")}
    assert before <= set(pods), "an old pod was ended"
    fresh = next(pod for name, pod in pods.items() if name not in before)
    assert not all(one["ready"] for one in fresh["status"]["containerStatuses"])
    assert served(result, "200"), result


def test_the_new_and_the_old_version_side_by_side(shop, loads, rollout):
    """Expand: a column that the old version does not know.  Both serve while one follows the other."""
    load = shop.load(
        "-method", "POST", "-url", f"{GATEWAY}/api/orders", "-rate", "20", "-seconds", "45",
        "-body", '{"user_id":1,"product_id":"LAPTOP001","quantity":1}', "-header", "Idempotency-Key:{id}",
    )  # fmt: skip
    loads(load)
    rollout("0099_gift_note.sql", "ALTER TABLE orders ADD COLUMN gift_note VARCHAR(100) NULL")
    shop.k("wait", "--for=condition=Complete", "job/migrate-order-svc", "--timeout=60s")
    shop.rollout("order-svc")
    # And back: version N-1 on the schema of N.
    shop.k("rollout", "undo", "deployment/order-svc")
    shop.rollout("order-svc")
    result = load.result()
    assert served(result, "201"), result
