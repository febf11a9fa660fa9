"""The Kafka installations: jars from Maven, a class archive and formatted folders, made once.

All of it lies in the user's cache, one folder a version, so a second checkout starts in
seconds.  The class archive (AppCDS) halves the broker's start.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

from . import ports, proc
from .layout import ROOT, cache_dir
from .ui import StackError, tail

CLUSTER_ID = "shopLocalStack00000000"
DEFAULT = "3.9.2"
LOG4J1 = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
"""
LOG4J2 = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
"""
# A version's logging: the file, its text, and the option that names it.
LOGGING = {
    "3": ("log4j.properties", LOG4J1, "-Dlog4j.configuration=file:"),
    "4": ("log4j2.properties", LOG4J2, "-Dlog4j2.disableJmx=true", "-Dlog4j2.configurationFile=file:"),
}
# What every broker of ours has in common; small, quick to start, quick to notice a dead client.
COMMON = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.segment.bytes": "16777216",
    "transaction.state.log.num.partitions": "4",
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


def versions():
    """Those whose coordinates are written down."""
    return sorted(pom.stem.removeprefix("pom-") for pom in (ROOT / "tools" / "kafka").glob("pom-*.xml"))


def java():
    path = shutil.which("java")
    if not path:
        raise StackError("java is missing; run tools/install run")
    return path


def replication(nodes):
    """How often data is kept: with three brokers any one of them may die."""
    copies, insync = (3, 2) if nodes >= 3 else (1, 1)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": insync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": insync,
    }


def write_properties(path, data, node_id, controllers, more):
    """One server.properties; `controllers` are the ports of all nodes' controllers, `more` adds or replaces settings."""
    voters = [f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1)]
    settings = {
        **COMMON,
        **replication(len(controllers)),
        "node.id": node_id,
        "controller.quorum.voters": ",".join(voters),
        "log.dirs": data,
        **more,
    }
    path.write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")


def listeners(plain, controller):
    """The two that every node has."""
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain}",
    }


class Home:
    """One version of Kafka in the cache."""

    def __init__(self, version):
        self.version = version
        self.dir = cache_dir() / f"kafka-{version}"
        self.pom = ROOT / "tools" / "kafka" / f"pom-{version}.xml"
        # A changed list of jars is another folder: brokers may run from the one before.
        self.lib = self.dir / f"lib-{hashlib.sha256(self.pom.read_bytes()).hexdigest()[:8]}"
        self.log_file, self.log_text, *self.log_options = LOGGING[version[0]]

    def prepare(self, progress, nodes=1):
        """Everything that brokers need, made when missing; several callers wait for one."""
        with self._lock():
            (self.dir / self.log_file).write_text(self.log_text, encoding="utf-8")
            self._fetch_jars(progress)
            for node_id in range(1, nodes + 1):
                self._format_folder(node_id, nodes)
            self._make_archive(progress)

    def formatted(self, node_id):
        """A formatted data folder to copy: formatting would cost every new stack a JVM start."""
        return self.dir / ("formatted" if node_id == 1 else f"formatted-{node_id}")

    def argv(self, properties, both_compilers=False, archive_option=None):
        """The broker's command line; uses the class archive when there is one."""
        archive = self._archive()
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
            *([] if both_compilers else ["-XX:TieredStopAtLevel=1"]),
            "-Djava.awt.headless=true",
            # What it unpacks there stays behind after a kill -9.
            f"-Djava.io.tmpdir={pathlib.Path(properties).parent}",
            *self._logging(),
            *options,
            "-cp",
            self._classpath(),
            "kafka.Kafka",
            properties,
        ]

    def _logging(self):
        *others, last = self.log_options
        return [*others, f"{last}{self.dir / self.log_file}"]

    def tool(self, main, *args):
        """One of Kafka's own tools, by its main class; what it printed."""
        command = [java(), "-XX:TieredStopAtLevel=1", *self._logging(), "-cp", self._classpath(), main, *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def _classpath(self):
        # Spelled out in order: the class archive is only valid for the same list.
        return ":".join(str(jar) for jar in sorted(self.lib.glob("*.jar")))

    def _archive(self):
        version = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
        mark = hashlib.sha256((version.stderr + self._classpath()).encode()).hexdigest()[:12]
        return self.dir / f"classes-{mark}.jsa"

    @contextlib.contextmanager
    def _lock(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.dir / "lock", "w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _fetch_jars(self, progress):
        if self.lib.is_dir():
            return
        if not shutil.which("mvn"):
            raise StackError("mvn is missing; run tools/install run")
        progress.say(f"fetching Apache Kafka {self.version} (46 MB, once)")
        partial = self.dir / "fetching"
        shutil.rmtree(partial, ignore_errors=True)
        command = ["mvn", "-B", "-q", "-f", self.pom, "dependency:copy-dependencies"]
        command.append(f"-DoutputDirectory={partial}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"maven could not fetch Kafka:\n{done.stdout[-2000:]}")
        os.replace(partial, self.lib)

    def _format_folder(self, node_id, nodes):
        target = self.formatted(node_id)
        if target.is_dir():
            return
        work = self.dir / "format-work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        controllers = [9100 + number for number in range(nodes)]
        more = listeners(9092, controllers[node_id - 1])
        write_properties(work / "server.properties", work / "data", node_id, controllers, more)
        command = [java(), "-XX:TieredStopAtLevel=1", *self._logging()]
        command += ["-cp", self._classpath(), "kafka.tools.StorageTool", "format"]
        command += ["-t", CLUSTER_ID, "-c", work / "server.properties"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"kafka format failed:\n{done.stdout}{done.stderr}")
        os.replace(work / "data", target)
        shutil.rmtree(work)

    def _make_archive(self, progress):
        """Runs a broker once and keeps the classes it loaded."""
        archive = self._archive()
        if archive.exists():
            return
        progress.say(f"making the class archive of Kafka {self.version} (once)")
        work = self.dir / "archive-work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.formatted(1), work / "data")
        chosen = ports.Ports({})
        plain, controller = chosen.get("plain"), chosen.get("controller")
        more = listeners(plain, controller)
        write_properties(work / "server.properties", work / "data", 1, [controller], more)
        log = work / "log"
        option = f"-XX:ArchiveClassesAtExit={work / 'classes.jsa'}"
        entry = proc.spawn(self.argv(work / "server.properties", archive_option=option), dict(os.environ), log, work)
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
