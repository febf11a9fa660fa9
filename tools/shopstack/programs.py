"""The seven programs: their settings, their migrations, their start."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request

from . import kafka, mariadb, proc, tls
from .layout import ROOT
from .ui import StackError, tail

# What each program needs: a database, Kafka, a public listener.
NEEDS = {
    "gateway": {"http"},
    "user-svc": {"http", "db"},
    "product-svc": {"http", "db", "kafka"},
    "order-svc": {"http", "db", "kafka"},
    "notify-svc": {"http", "db", "kafka"},
    "analytics-svc": {"http", "kafka"},
    "processor": {"kafka"},
}
NAMES = list(NEEDS)
UPSTREAMS = [name for name in NAMES if name != "gateway" and "http" in NEEDS[name]]
NICE_PORTS = {"gateway": 8080, "frontend": 8000, "mail-http": 8025}


class Plan:
    """What runs where: every instance with its ports, from the options of `up`."""

    def __init__(self, store, ports, build):
        self.store = store
        self.layout = store.layout
        self.options = store.options
        self.bin = build / self.options["mode"] / "bin"
        self.ports = ports
        self.instances = {}
        nice = NICE_PORTS if self.options["nice_ports"] else {}
        for program in self.options["programs"]:
            count = self.options["instances"].get(program, 1)
            names = [program] if count == 1 else [f"{program}.{n + 1}" for n in range(count)]
            self.instances[program] = names
            for name in names:
                ports.get(f"{name}-admin")
                if "http" in NEEDS[program]:
                    ports.get(f"{name}-http", nice.get(name))
        # Even when the gateway itself is not wanted, the others need an address to call.
        ports.get("internal")

    def url(self, name, kind="http"):
        port = self.ports.by_name.get(f"{name}-{kind}")
        return f"http://127.0.0.1:{port}" if port else None

    def internal_url(self):
        return f"http://127.0.0.1:{self.ports.by_name['internal']}"

    def binary(self, program):
        path = self.bin / program
        if not path.exists():
            raise StackError(f"{path} is missing; run: make build MODE={self.options['mode']}")
        return path


def _sanitizers(layout, name, mode):
    """Reports go to files of their own, where the tests look for them."""
    if mode not in ("asan", "tsan"):
        return {}
    report = layout.log_dir / f"sanitizer.{name}"
    tests = ROOT / "tests"
    return {
        "ASAN_OPTIONS": f"detect_leaks=1:log_path={report}:exitcode=99",
        "LSAN_OPTIONS": f"suppressions={tests / 'lsan.supp'}:print_suppressions=0",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={report}",
        "TSAN_OPTIONS": f"log_path={report}:exitcode=99:suppressions={tests / 'tsan.supp'}",
    }


def _database_env(plan, program):
    if "db" not in NEEDS[program]:
        return {}
    schema = mariadb.SCHEMAS[program]
    user = mariadb.accounts(schema)["run"]
    return {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(plan.ports.by_name["mysql"]),
        "DB_NAME": schema,
        "DB_USER": user,
        "DB_PASSWORD_FILE": str(plan.layout.secret_file(f"mysql-{user}")),
        "MIGRATIONS_DIR": str(ROOT / program / "migrations"),
    }


def kafka_env(layout, ports, options):
    """The client settings for Kafka, as every program understands them."""
    if not options["kafka_tls"]:
        through = kafka.proxy_addresses(options)
        return {"KAFKA_BOOTSTRAP_SERVERS": through or kafka.addresses(options, ports)}
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.addresses(options, ports, "-tls"),
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": tls.make(layout.tls)["ca"],
        "KAFKA_API_VERSION": "3.5.1",
    }


def _gateway_env(plan):
    env = {"ROUTES_FILE": str(ROOT / "gateway" / "routes.json")}
    env["INTERNAL_LISTEN"] = plan.internal_url().removeprefix("http://")
    for program in UPSTREAMS:
        variable = program.upper().replace("-", "_")
        # A program that is not started keeps an address nobody listens on.
        names = plan.instances.get(program, [program])
        for name in names:
            plan.ports.get(f"{name}-http")
            plan.ports.get(f"{name}-admin")
        env[f"{variable}_URL"] = ",".join(plan.url(name) for name in names)
        env[f"{variable}_ADMIN_URL"] = ",".join(plan.url(name, "admin") for name in names)
    return env


def _own_env(plan, program, name, index):
    """The settings that only this program has."""
    if program == "gateway":
        return _gateway_env(plan)
    if program == "user-svc":
        # Made by the program itself; kept, so tokens outlive a restart.
        return {"SIGNING_KEY_FILE": str(plan.layout.secret_file("signing-key.json"))}
    if program == "notify-svc":
        smtp = plan.ports.by_name.get("mail-smtp", 2525)
        return {"SMTP_URL": f"smtp://127.0.0.1:{smtp}", "MAIL_FROM": "shop@example.com"}
    if program == "processor":
        return {"PROCESSOR_SLOT": str(index)}
    return {}


def environment(plan, program, name, index):
    """All settings of one instance.  Secrets go by file, so no environment shows one."""
    options, layout = plan.options, plan.layout
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    env.update(_sanitizers(layout, name, options["mode"]))
    env.update(ADMIN_LISTEN=plan.url(name, "admin").removeprefix("http://"))
    env.update(LOG_LEVEL="info", DRAIN_WAIT_MS="200", DRAIN_MAX_MS="10000")
    if "http" in NEEDS[program]:
        env["LISTEN"] = plan.url(name).removeprefix("http://")
        env["AUTH_MODE"] = options["auth"]
        env["SERVICE_SECRET_FILE"] = str(layout.secret_file("service-secret"))
        env["INTERNAL_URL"] = plan.internal_url()
    env.update(_database_env(plan, program))
    if "kafka" in NEEDS[program]:
        env.update(kafka_env(layout, plan.ports.by_name, options))
    env.update(_own_env(plan, program, name, index))
    for setting in options["env"]:
        who, colon, rest = setting.partition(":")
        if who == mariadb.NAME:
            continue
        if colon and (who in NAMES or who == name):
            if who not in (program, name):
                continue
            setting = rest
        variable, _, value = setting.partition("=")
        env[variable] = value
    return env


def create_topics(plan):
    """`processor --create-topics`, also where no processor is wanted: tests read and write the topics."""
    direct = {**plan.options, "kafka_proxy": None}
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    env.update(_sanitizers(plan.layout, "create-topics", plan.options["mode"]))
    env.update(kafka_env(plan.layout, plan.ports.by_name, direct))
    log = plan.layout.log("create-topics")
    with open(log, "wb") as out:
        command = [str(plan.binary("processor")), "--create-topics"]
        done = subprocess.run(command, env=env, cwd=ROOT, stdout=out, stderr=out, check=False)
    if done.returncode:
        raise StackError(f"processor --create-topics failed; the end of {log}:\n{tail(log)}")


def migrate(plan):
    """`--migrate` of every program with a database, side by side."""
    running = []
    for program in plan.options["programs"]:
        if "db" not in NEEDS[program]:
            continue
        user = mariadb.accounts(mariadb.SCHEMAS[program])["migrate"]
        env = environment(plan, program, plan.instances[program][0], 0)
        env["DB_MIGRATE_USER"] = user
        env["DB_MIGRATE_PASSWORD_FILE"] = str(plan.layout.secret_file(f"mysql-{user}"))
        log = plan.layout.log(f"{program}-migrate")
        with open(log, "wb") as out:
            command = [str(plan.binary(program)), "--migrate"]
            child = subprocess.Popen(command, env=env, cwd=ROOT, stdout=out, stderr=out)
        running.append((program, child, log))
    failed = [(name, log) for name, child, log in running if child.wait()]
    if failed:
        name, log = failed[0]
        raise StackError(f"{name} --migrate failed; the end of {log}:\n{tail(log)}")


def start(plan, program, name, index):
    return plan.store.start(
        name,
        argv=[str(plan.binary(program))],
        env=environment(plan, program, name, index),
        cwd=str(ROOT),
        kind=program,
        http=plan.url(name),
        admin=plan.url(name, "admin"),
    )


def ready(admin):
    """Is it ready, and if not, what does it say?"""
    try:
        with urllib.request.urlopen(f"{admin}/readyz", timeout=2) as answer:
            return answer.status == 200, ""
    except urllib.error.HTTPError as error:
        text = error.read(2000).decode("utf-8", "replace")
        try:
            checks = json.loads(text).get("checks", {})
            return False, "; ".join(f"{k}: {v}" for k, v in checks.items() if v not in (True, "ok"))
        except (ValueError, AttributeError):
            return False, text.strip()
    except OSError as error:
        return False, str(getattr(error, "reason", error))


def wait(store, names, progress, seconds=60):
    """Until each of them is ready.  Fails at once when one ends."""
    began = time.monotonic()
    left = list(names)
    why = ""
    while left:
        for name in list(left):
            entry = store.processes[name]
            good, why = ready(entry["admin"])
            if good:
                left.remove(name)
                progress.say(f"{name} ready")
            elif not proc.alive(entry):
                text = tail(entry["log"])
                raise StackError(f"{name} ended; the end of {entry['log']}:\n{text}")
        if left and time.monotonic() - began > seconds:
            text = tail(store.processes[left[0]]["log"])
            raise StackError(f"{left[0]} is not ready ({why}); the end of its log:\n{text}")
        time.sleep(0.01)
