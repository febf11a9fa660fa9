"""The Kafka installation: jars from Maven, a class archive and a formatted folder, made once.

All of it lies in the user's cache, so a second checkout starts in seconds.  The
class archive (AppCDS) halves the broker's start.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time

from . import ports, proc
from .layout import KAFKA_VERSION, ROOT, cache_dir
from .ui import StackError, tail

CLUSTER_ID = "shopLocalStack00000000"
LOG4J = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
"""
# What every broker of ours has in common; small, quick to start, quick to notice a dead client.
COMMON = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.segment.bytes": "16777216",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.segment.bytes": "16777216",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # Shorter than usual: a broker that was killed can come back sooner.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "100",
    "group.min.session.timeout.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "unclean.leader.election.enable": "false",
}


def home():
    return cache_dir() / f"kafka-{KAFKA_VERSION}"


def java():
    path = shutil.which("java")
    if not path:
        raise StackError("java is missing; run tools/install run")
    return path


def _classpath():
    # Spelled out in order: the class archive is only valid for the same list.
    return ":".join(str(jar) for jar in sorted((home() / "lib").glob("*.jar")))


def _archive():
    version = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
    mark = hashlib.sha256((version.stderr + _classpath()).encode()).hexdigest()[:12]
    return home() / f"classes-{mark}.jsa"


def argv(properties, archive_option=None):
    """The broker's command line; uses the class archive when there is one."""
    archive = _archive()
    options = []
    if archive_option:
        options.append(archive_option)
    elif archive.exists():
        options += [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    return [
        java(),
        "-Xms64m",
        "-Xmx512m",
        "-Xss512k",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-XX:TieredStopAtLevel=1",
        "-Djava.awt.headless=true",
        f"-Dlog4j.configuration=file:{home() / 'log4j.properties'}",
        *options,
        "-cp",
        _classpath(),
        "kafka.Kafka",
        properties,
    ]


def write_properties(path, data, plain, controller, more):
    """One server.properties; `more` adds or replaces settings."""
    settings = {
        **COMMON,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain}",
        "log.dirs": str(data),
        **more,
    }
    path.write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")


def _fetch_jars(progress):
    lib = home() / "lib"
    if (lib / f"kafka_2.13-{KAFKA_VERSION}.jar").exists() and (home() / "fetched").exists():
        return
    if not shutil.which("mvn"):
        raise StackError("mvn is missing; run tools/install run")
    progress.say(f"fetching Apache Kafka {KAFKA_VERSION} (46 MB, once)")
    shutil.rmtree(lib, ignore_errors=True)
    pom = ROOT / "tools" / "kafka" / "pom.xml"
    command = ["mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies"]
    command.append(f"-DoutputDirectory={lib}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"maven could not fetch Kafka:\n{done.stdout[-2000:]}")
    (home() / "fetched").touch()


def _format_folder():
    """A formatted data folder to copy: formatting would cost every new stack a JVM start."""
    target = home() / "formatted"
    if target.is_dir():
        return
    work = home() / "format-work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_properties(work / "server.properties", work / "data", 9092, 9093, {})
    command = [java(), "-XX:TieredStopAtLevel=1"]
    command.append(f"-Dlog4j.configuration=file:{home() / 'log4j.properties'}")
    command += ["-cp", _classpath(), "kafka.tools.StorageTool", "format"]
    command += ["-t", CLUSTER_ID, "-c", work / "server.properties"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"kafka format failed:\n{done.stdout}{done.stderr}")
    os.replace(work / "data", target)
    shutil.rmtree(work)


def _make_archive(progress):
    """Runs a broker once and keeps the classes it loaded."""
    archive = _archive()
    if archive.exists():
        return
    progress.say("making Kafka's class archive (once)")
    work = home() / "archive-work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(home() / "formatted", work / "data")
    chosen = ports.Ports({})
    plain, controller = chosen.get("plain"), chosen.get("controller")
    write_properties(work / "server.properties", work / "data", plain, controller, {})
    log = work / "log"
    option = f"-XX:ArchiveClassesAtExit={work / 'classes.jsa'}"
    entry = proc.spawn(argv(work / "server.properties", option), dict(os.environ), log, work)
    try:
        deadline = time.monotonic() + 60
        while not ports.is_open(plain) and proc.alive(entry) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
    finally:
        proc.stop([entry], 60)
    if not (work / "classes.jsa").exists():
        raise StackError(f"Kafka's first start failed:\n{tail(log)}")
    os.replace(work / "classes.jsa", archive)
    shutil.rmtree(work)


@contextlib.contextmanager
def _cache_lock():
    home().mkdir(parents=True, exist_ok=True)
    with open(home() / "lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prepare(progress):
    """Everything a broker needs, made when missing; several callers wait for one."""
    with _cache_lock():
        (home() / "log4j.properties").write_text(LOG4J, encoding="utf-8")
        _fetch_jars(progress)
        _format_folder()
        _make_archive(progress)
