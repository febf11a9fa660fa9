"""tools/stack: arguments and commands."""

import argparse
import os
import pathlib
import signal
import sys
import time

from . import kafka_home, proc, programs, seed, stack
from .layout import ROOT, Layout
from .store import Store, locked
from .ui import Progress, StackError, tail

NODES = (1, 3)  # so many brokers
EPILOG = """examples:
  tools/stack up --programs user-svc,gateway   a part of the programs; MariaDB, Kafka and mail always
  tools/stack up --programs none --no-seed     only MariaDB, Kafka and mail
  tools/stack up --build /tmp/b --mode debug   binaries from /tmp/b/debug/bin
  tools/stack up --instances order-svc=2       instances are then order-svc.1 and order-svc.2
  tools/stack up --env order-svc:LOG_LEVEL=debug
  tools/stack up --mysql log-bin=bin sync-binlog=1   with a binlog
  tools/stack kill kafka; tools/stack start kafka
  tools/stack up --kafka-nodes 3 --kafka-version 4.3.1; tools/stack kill kafka.2
"""


def _programs(text):
    names = [] if text == "none" else text.split(",")
    for name in names:
        if name not in programs.NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {' '.join(programs.NAMES)}")
    return names


def _instances(text):
    answer = {}
    for part in filter(None, text.split(",")):
        name, _, count = part.partition("=")
        if name not in programs.NAMES or not count.isdigit() or not 1 <= int(count) <= 12:
            raise argparse.ArgumentTypeError(f"{part!r} is not PROGRAM=1..12")
        answer[name] = int(count)
    return answer


def _setting(text):
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return text


def _port_pair(text):
    pair = text.split(":")
    if len(pair) != 2 or not all(port.isdigit() for port in pair):
        raise argparse.ArgumentTypeError(f"{text!r} is not PORT:BEHIND")
    return [int(port) for port in pair]


def _up_arguments(parser):
    parser.add_argument("--auth", choices=["demo", "required"], default="demo")
    parser.add_argument("--mode", default="release", help="which build (release)")
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"), help="build folder")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="where to describe it")
    parser.add_argument(
        "--programs", type=_programs, default=programs.NAMES, metavar="LIST",
        help="only these programs, comma-separated, or none",
    )  # fmt: skip
    parser.add_argument("--instances", type=_instances, default={}, metavar="NAME=N,…")
    parser.add_argument("--no-seed", action="store_true", help="no demo data")
    parser.add_argument(
        "--env", nargs="+", action="extend", type=_setting, default=[], metavar="[PROGRAM:]NAME=V",
        help="settings for all programs or for one; mysql:NAME=V for MariaDB's environment",
    )  # fmt: skip
    parser.add_argument(
        "--mysql", nargs="+", action="extend", default=[], metavar="OPTION",
        help="more options of mariadbd, without dashes: sync-binlog=1",
    )  # fmt: skip
    parser.add_argument(
        "--mysql-bin", metavar="FILE", help="MySQL's mysqld in the place of MariaDB (tools/mysql-tree)"
    )  # fmt: skip
    parser.add_argument("--kafka-tls", action="store_true", help="a TLS listener, used by all")
    parser.add_argument(
        "--kafka-both-compilers", action="store_true",
        help="the brokers' JVM with its second compiler too, as in production: quicker after minutes, slower before",
    )  # fmt: skip
    parser.add_argument("--kafka-version", choices=kafka_home.versions(), default=kafka_home.DEFAULT)
    parser.add_argument(
        "--kafka-nodes", type=int, choices=NODES, default=1,
        help="3: brokers kafka.1 to kafka.3, everything kept thrice, any one may die",
    )  # fmt: skip
    parser.add_argument(
        "--kafka-proxy", nargs="+", type=_port_pair, default=[], metavar="PORT:BEHIND",
        help="one a broker: the programs reach Kafka through PORT only, where a proxy of yours passes on to BEHIND",
    )  # fmt: skip
    parser.add_argument("--nice-ports", action="store_true", help="8080 and 8000 when free")


def parser():
    top = argparse.ArgumentParser(
        prog="tools/stack", description="The whole shop on this machine, on loopback only.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", default=str(ROOT / ".stack"), help="the stack's folder (.stack)")
    common.add_argument("--quiet", action="store_true", help="no progress lines")
    commands = top.add_subparsers(dest="command", required=True)

    def add(name, text):
        return commands.add_parser(name, parents=[common], help=text, description=text)

    _up_arguments(add("up", "start everything that does not run and wait until it is ready"))
    run = add("run", "up, then wait for Ctrl-C, then down")
    _up_arguments(run)
    add("down", "stop everything; data stays")
    add("status", "what runs, how much memory, is it ready")
    logs = add("logs", "the end of one log, or of all")
    logs.add_argument("name", nargs="?")
    logs.add_argument("-n", type=int, default=20, help="lines (20)")
    for name, text in (
        ("restart", "stop (SIGTERM), start, wait until ready"),
        ("start", "start what was stopped or killed, wait until ready"),
        ("stop", "SIGTERM and wait until it ended"),
        ("kill", "SIGKILL, or another --signal"),
    ):
        one = add(name, text)
        one.add_argument("name", help="program, instance, mysql, kafka, nginx or mail")
        if name == "kill":
            one.add_argument("--signal", default="KILL", help="KILL, TERM, STOP, CONT …")
        if name in ("restart", "start"):
            one.add_argument("--no-wait", action="store_true")
            one.add_argument("--env", nargs="+", type=_setting, default=[], metavar="NAME=VALUE")
    add("seed", "load the demo data; what is there already is left alone")
    prepare = add("prepare", "download Kafka and make its class archive, once")
    prepare.add_argument("--all", action="store_true", help="every version, for one broker and for three, as the tests need")
    return top


def _options(args):
    if args.kafka_proxy and (args.kafka_tls or len(args.kafka_proxy) != args.kafka_nodes):
        raise StackError("--kafka-proxy takes one PORT:BEHIND a broker, and no --kafka-tls")
    return {
        "auth": args.auth,
        "mode": args.mode,
        "build": str(pathlib.Path(args.build)),
        "programs": args.programs,
        "instances": args.instances,
        "seed": not args.no_seed,
        "env": args.env,
        "mysql": args.mysql,
        "mysql_bin": args.mysql_bin,
        "kafka_tls": args.kafka_tls,
        "kafka_version": args.kafka_version,
        "kafka_both_compilers": args.kafka_both_compilers,
        "kafka_nodes": args.kafka_nodes,
        "kafka_proxy": args.kafka_proxy,
        "nice_ports": args.nice_ports,
        "json": str(args.json.resolve()) if args.json else None,
    }


def _print_urls(description):
    gateway = description["gateway"]
    print(f"\n  shop      {description['frontend']}")
    print(f"  gateway   {gateway}")
    print(f"  mail      {description['mail']}/mails")
    print(f"  logs      {description['dir']}/log")
    print(f"  details   {description['dir']}/stack.json (logins, database, Kafka)\n")
    if not gateway:
        return
    print("Try:")
    print(f"  curl -X POST {gateway}/api/orders -H 'Content-Type: application/json' \\")
    print("""    -d '{"user_id":1,"product_id":"LAPTOP001","quantity":1}'""")
    print(f"  curl {gateway}/api/analytics/flink/top-users")
    print(f"  curl -N {gateway}/api/analytics/stream\n", flush=True)


def cmd_up(args, store, progress):
    with locked(store.layout) as store:
        description = stack.up(store, _options(args), args.json, progress)
    _print_urls(description)


def cmd_run(args, store, progress):
    def interrupted(*_):
        raise KeyboardInterrupt

    if store.running():
        raise StackError(f"already running in {store.layout.dir}; tools/stack status shows it, tools/stack down stops it")
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        cmd_up(args, store, progress)
        print("Ctrl-C stops everything.", flush=True)
        told = set()
        while Store(store.layout).running():
            time.sleep(1)
            _watch(store.layout, progress, told)
        progress.say("everything was stopped from elsewhere")
    except KeyboardInterrupt:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(file=sys.stderr)
        progress.say("stopping")
        with locked(store.layout) as latest:
            stack.down(latest, progress)


def _watch(layout, progress, told):
    """Says once when something ended by itself."""
    for name, entry in Store(layout).processes.items():
        if not proc.alive(entry) and entry["pid"] not in told:
            told.add(entry["pid"])
            progress.say(f"{name} ended; see {entry['log']} (tools/stack start {name})")


def cmd_down(args, store, progress):
    if not store.layout.dir.exists():
        return
    with locked(store.layout) as store:
        if not stack.down(store, progress):
            progress.say("nothing was running")


def cmd_status(args, store, progress):
    lines = stack.status(store)
    print("\n".join(lines) if lines else f"nothing was ever started in {store.layout.dir}")
    return 0 if lines and len(store.running()) == len(lines) else 1


def cmd_logs(args, store, progress):
    for name in store.named(args.name) if args.name else list(store.processes):
        print(f"==> {name}\n{tail(store.processes[name]['log'], args.n)}")


def cmd_restart(args, store, progress):
    with locked(store.layout) as store:
        stack.stop_named(store, args.name)
        stack.start_named(store, args.name, progress, args.env, not args.no_wait)


def cmd_start(args, store, progress):
    with locked(store.layout) as store:
        stack.start_named(store, args.name, progress, args.env, not args.no_wait)


def cmd_stop(args, store, progress):
    with locked(store.layout) as store:
        stack.stop_named(store, args.name)


def cmd_kill(args, store, progress):
    signum = getattr(signal, f"SIG{args.signal.upper().removeprefix('SIG')}", None)
    if signum is None:
        raise StackError(f"there is no signal {args.signal!r}")
    for name in store.named(args.name):
        entry = store.processes[name]
        if not proc.alive(entry):
            raise StackError(f"{name} does not run")
        if signum == signal.SIGKILL:
            proc.kill(entry)
        else:
            proc.send(entry, signum)


def cmd_seed(args, store, progress):
    with locked(store.layout) as store:
        seed.load(stack.current(store), progress)


def cmd_prepare(args, store, progress):
    for version in kafka_home.versions() if args.all else [kafka_home.DEFAULT]:
        kafka_home.Home(version).prepare(progress, max(NODES) if args.all else min(NODES))


def main(argv=None):
    args = parser().parse_args(argv)
    progress = Progress(args.quiet)
    try:
        store = Store(Layout(args.dir))
        return globals()[f"cmd_{args.command}"](args, store, progress) or 0
    except StackError as error:
        print(f"tools/stack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
