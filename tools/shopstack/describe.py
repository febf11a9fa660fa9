"""The JSON that tells tests, benchmarks and people where everything is."""

import json

from . import kafka, mariadb, tls
from .layout import write_private


def _kafka(layout, options, ports):
    answer = {"bootstrap": kafka.addresses(options, ports)}
    if options.get("kafka_proxy"):
        answer["proxy"] = kafka.proxy_addresses(options)
    if options["kafka_tls"]:
        answer["tls_bootstrap"] = kafka.addresses(options, ports, "-tls")
        answer["ca"] = tls.make(layout.tls)["ca"]
        answer["wrong_ca"] = str(layout.tls / "other-ca.crt")
    return answer


def _mysql(layout, ports):
    writers = {
        service: {
            "user": schema,
            "password_file": str(layout.secret_file(f"mysql-{schema}")),
            "migrate_user": mariadb.accounts(schema)["migrate"],
            "migrate_password_file": str(
                layout.secret_file(f"mysql-{mariadb.accounts(schema)['migrate']}")
            ),
        }
        for service, schema in mariadb.SCHEMAS.items()
    }
    return {
        "host": "127.0.0.1",
        "port": ports["mysql"],
        "socket": str(layout.mysql_socket()),
        "user": mariadb.READER,
        "password": layout.secret(f"mysql-{mariadb.READER}"),
        "databases": mariadb.SCHEMAS,
        "accounts": writers,
    }


def _services(store):
    services = {}
    for name, entry in store.processes.items():
        one = {"name": name, "pid": entry["pid"], "log": entry["log"]}
        for key in ("http", "admin", "port"):
            if entry.get(key):
                one[key] = entry[key]
        services.setdefault(entry["kind"], []).append(one)
    return services


def describe(plan, logins):
    """Everything about a running stack, as one JSON object."""
    layout, ports = plan.layout, plan.ports.by_name
    nginx = plan.store.processes.get("nginx")
    gateway = plan.instances.get("gateway")
    return {
        "dir": str(layout.dir),
        "mode": plan.options["mode"],
        "auth": plan.options["auth"],
        "frontend": f"http://127.0.0.1:{nginx['port']}" if nginx else None,
        "gateway": plan.url(gateway[0]) if gateway else None,
        "internal": plan.internal_url(),
        "kafka": _kafka(layout, plan.options, ports),
        "mysql": _mysql(layout, ports),
        "services": _services(plan.store),
        "logins": logins,
        "mail": plan.store.processes["mail"]["http"],
        "secret_file": str(layout.secret_file("service-secret")),
        "topics": {t["name"]: t["partitions"] for t in kafka.topics()},
    }


def write(description, paths):
    text = json.dumps(description, indent=2) + "\n"
    for path in paths:
        write_private(path, text)
