"""Up, down and what comes between: the order in which the parts start and end."""

import os
import pathlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

from . import describe, kafka, kafka_home, mailsink, mariadb, nginx, ports, proc, programs, seed
from .layout import ROOT
from .ui import StackError

# Servers first: the order of `up`; `down` goes backwards.
SERVERS = [mariadb.NAME, kafka.NAME, mailsink.NAME]
# Seconds a process gets to end by itself.
GRACE = {mariadb.NAME: 30, kafka.NAME: 30}
GRACE_PROGRAM = 15


def build_dir(options):
    return (ROOT / options["build"]).resolve()


# Names of the ports of what is no program.
SERVER_PORTS = {
    mariadb.NAME: ["mysql"],
    mailsink.NAME: ["mail-smtp", "mail-http"],
    nginx.NAME: ["frontend"],
    "gateway": ["internal"],
}


def _held_ports(store):
    held = []
    for name in store.running():
        held += [f"{name}-http", f"{name}-admin"]
        kind = store.processes[name]["kind"]
        held += kafka.port_names(name, store.options) if kind == kafka.NAME else SERVER_PORTS.get(kind, [])
    return held


def make_plan(store):
    chosen = ports.Ports(store.data["ports"], _held_ports(store))
    plan = programs.Plan(store, chosen, build_dir(store.options))
    store.data["ports"] = chosen.by_name
    return plan


def _start_mysql(store, progress):
    if not proc.alive(store.processes.get(mariadb.NAME)):
        mariadb.start(store, store.data["ports"]["mysql"])
    mariadb.wait(store)
    mariadb.provision(store.layout)
    progress.say("mysql ready")


def _start_kafka(store, plan, progress):
    wanted = kafka.nodes(store.options)
    if not all(proc.alive(store.processes.get(node)) for node in wanted):
        kafka_home.Home(store.options["kafka_version"]).prepare(progress, len(wanted))
        kafka.start(store, plan.ports)
    kafka.wait(store)
    programs.create_topics(plan)
    progress.say("kafka ready, topics there")


def _start_mail(store, progress):
    if not proc.alive(store.processes.get(mailsink.NAME)):
        known = store.data["ports"]
        mailsink.start(store, known["mail-smtp"], known["mail-http"])
    progress.say("mail sink started")


def _start_servers(store, plan, progress):
    """MariaDB (then the migrations), Kafka and the mail sink, side by side."""

    def database():
        _start_mysql(store, progress)
        programs.migrate(plan)
        if any("db" in programs.NEEDS[name] for name in store.options["programs"]):
            progress.say("schemas migrated")

    with ThreadPoolExecutor() as pool:
        parts = [
            pool.submit(database),
            pool.submit(_start_kafka, store, plan, progress),
            pool.submit(_start_mail, store, progress),
        ]
        failures = [part.exception() for part in parts]
    for failure in failures:
        if failure:
            raise failure


def _start_programs(store, plan, progress):
    started = []
    for program, names in plan.instances.items():
        for index, name in enumerate(names):
            if not proc.alive(store.processes.get(name)):
                programs.start(plan, program, name, index)
            started.append(name)
    programs.wait(store, started, progress)


def _start_nginx(store, plan, progress):
    gateway = plan.instances.get("gateway")
    if not gateway or proc.alive(store.processes.get(nginx.NAME)):
        return
    frontend, upstream = store.data["ports"]["frontend"], store.data["ports"][f"{gateway[0]}-http"]
    entry = nginx.start(store, frontend, upstream)
    deadline = time.monotonic() + 10
    while not ports.is_open(frontend):
        if not proc.alive(entry) or time.monotonic() > deadline:
            raise StackError(f"nginx does not answer; see {entry['log']}")
        time.sleep(0.01)
    progress.say("nginx ready")


def _choose_ports(store, plan):
    nice = programs.NICE_PORTS if store.options["nice_ports"] else {}
    brokers = [port for node in kafka.nodes(store.options) for port in kafka.port_names(node, store.options)]
    for name in ("mysql", *brokers, "mail-smtp", "mail-http", "frontend"):
        plan.ports.get(name, nice.get(name))


def _bring_up(store, progress):
    plan = make_plan(store)
    _choose_ports(store, plan)
    store.layout.secret("service-secret")
    for program in store.options["programs"]:
        plan.binary(program)
    # Prune instances of earlier, larger runs.
    wanted = {name for names in plan.instances.values() for name in names} | set(kafka.nodes(store.options))
    for name, entry in list(store.processes.items()):
        if entry["kind"] in (*programs.NAMES, kafka.NAME) and name not in wanted:
            del store.processes[name]
    store.save()
    _start_servers(store, plan, progress)
    _start_programs(store, plan, progress)
    _start_nginx(store, plan, progress)
    if set(programs.NAMES) <= set(store.options["programs"]):
        seed.accounts(plan, progress)
        if store.options["seed"]:
            seed.load(plan, progress)
    return plan


def up(store, options, json_file, progress):
    """Starts whatever does not run.  A failure ends everything that this call started."""
    running = store.running()
    if running:
        # Where to describe it may be asked anew at any time.
        asked = {k: v for k, v in options.items() if k != "json"}
        differing = [k for k, v in asked.items() if store.options.get(k, v) != v]
        if differing:
            raise StackError(
                f"already running in {store.layout.dir} with other options"
                f" ({', '.join(differing)}); run: tools/stack down"
            )
    store.data["options"] = options
    everything = all(proc.alive(entry) for entry in store.processes.values())
    if running and everything and store.layout.json.exists():
        progress.say(f"already running in {store.layout.dir}")
        return _finish_running(store, json_file)
    try:
        plan = _bring_up(store, progress)
    except BaseException:
        progress.say("start failed, ending what was started")
        down(store, progress, keep=set(running))
        raise
    description = describe.describe(plan, seed.logins(plan))
    describe.write(description, [store.layout.json, *([json_file] if json_file else [])])
    progress.say("everything is ready")
    return description


def current(store):
    """The plan of a stack that is already there, with the ports it has."""
    plan = programs.Plan.__new__(programs.Plan)
    plan.store, plan.layout, plan.options = store, store.layout, store.options
    plan.bin = build_dir(store.options) / store.options["mode"] / "bin"
    plan.ports = ports.Ports(store.data["ports"])
    plan.instances = {}
    for name, entry in store.processes.items():
        if entry["kind"] in programs.NAMES:
            plan.instances.setdefault(entry["kind"], []).append(name)
    return plan


def _finish_running(store, json_file):
    plan = current(store)
    description = describe.describe(plan, seed.logins(plan))
    describe.write(description, [store.layout.json, *([json_file] if json_file else [])])
    return description


def down(store, progress, keep=()):
    """Ends the programs together, then the servers.  Nothing running is no error."""
    alive = [name for name in store.running() if name not in keep]
    front = [name for name in alive if store.processes[name]["kind"] not in SERVERS]
    stuck = proc.stop([store.processes[name] for name in front], GRACE_PROGRAM)
    servers = [name for name in alive if name not in front]
    stuck += proc.stop([store.processes[name] for name in servers], GRACE[mariadb.NAME])
    for entry in stuck:
        progress.say(f"{entry['kind']} did not end in time and was killed")
    if alive:
        progress.say(f"stopped {len(alive)} processes")
    return alive


def wait_one(store, name, progress):
    """After a (re)start: until this one works again."""
    kind = store.processes[name]["kind"]
    if kind == mariadb.NAME:
        mariadb.wait(store)
        progress.say("mysql ready")
    elif kind == kafka.NAME:
        kafka.wait(store, [name])
        progress.say(f"{name} ready")
    elif kind in programs.NAMES:
        programs.wait(store, [name], progress)


def stop_named(store, name):
    for one in store.named(name):
        entry = store.processes[one]
        proc.stop([entry], GRACE.get(entry["kind"], GRACE_PROGRAM))


def start_named(store, name, progress, settings=(), wait=True):
    """Starts it again as before; `settings` (NAME=VALUE) stay for later restarts."""
    for one in store.named(name):
        entry = store.processes[one]
        if proc.alive(entry):
            raise StackError(f"{one} already runs")
        if not shutil.which(entry["argv"][0]):
            raise StackError(f"{entry['argv'][0]} is missing; run: make build MODE={store.options['mode']}")
        for setting in settings:
            variable, _, value = setting.partition("=")
            entry["env"][variable] = value
        store.again(one)
    # All first: a broker alone is not ready before a second one is there.
    for one in store.named(name) if wait else []:
        wait_one(store, one, progress)
    refresh(store)


def refresh(store):
    """New pids into the JSON that `up` wrote."""
    if store.layout.json.exists():
        _finish_running(store, store.options.get("json"))


def status(store):
    """One line a process: name, state, pid, memory, address."""
    lines = []
    for name, entry in store.processes.items():
        state, memory = "stopped", ""
        if proc.alive(entry):
            state, memory = "running", _memory(entry["pid"])
            if entry.get("admin"):
                good, why = programs.ready(entry["admin"])
                state = "ready" if good else f"not ready ({why})"
        address = entry.get("http") or (f"port {entry['port']}" if entry.get("port") else "")
        lines.append(f"{name:18} {entry['pid']:>8} {memory:>8} {address:26} {state}")
    return lines


def _memory(pid):
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return ""
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 1048576:.1f} MB"
