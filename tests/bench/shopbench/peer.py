"""The Python stack of baseline/: started on our stack's MariaDB and Kafka, stopped again."""

import os
import pathlib
import signal
import subprocess
import time
import urllib.request

from confluent_kafka.admin import AdminClient, NewTopic
from shopstack.ports import Ports

HERE = pathlib.Path(__file__).resolve().parents[1]
VENV = HERE.parents[1] / "build" / "venv-bench" / "bin"
SERVICES = ("user_service", "product_service", "order_service", "analytics_service", "gateway")
TOPIC = "bench-python-orders"
WORKERS, THREADS = 2, 8


def _make_topic(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(TOPIC, 12, 1)])[TOPIC].result(30)


class Peer:
    """`with Peer(stack, bare, log_dir) as peer:` then peer.url is its gateway."""

    def __init__(self, stack, bare, log_dir, worker="gthread"):
        self.stack, self.bare, self.worker = stack, bare, worker
        self.log_dir = pathlib.Path(log_dir)
        self.children = {}

    def __enter__(self):
        if not (VENV / "gunicorn").exists():
            raise RuntimeError(f"{VENV}/gunicorn is missing; run tools/install bench")
        self.bare.script(HERE / "baseline" / "schema.sql")
        _make_topic(self.stack["kafka"]["bootstrap"])
        free = Ports({})
        ports = {name: free.get(name) for name in SERVICES}
        self.url = f"http://127.0.0.1:{ports['gateway']}"
        self.env = {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
            "KAFKA": self.stack["kafka"]["bootstrap"], "TOPIC": TOPIC, "DB_PORT": str(self.stack["mysql"]["port"]),
            "DB_USER": "bench", "DB_PASSWORD": self.bare.password,
        }  # fmt: skip
        for name in SERVICES[:-1]:
            self.env[f"{name.removesuffix('_service').upper()}_URL"] = f"http://127.0.0.1:{ports[name]}"
        try:
            for name in SERVICES:
                self._start(name, self._gunicorn(name, ports[name]))
            self._start("analytics_processor", [VENV / "python", "analytics_processor.py"])
            for name in SERVICES:
                self._wait(name, ports[name])
        except BaseException:
            self.__exit__()
            raise
        return self

    def _gunicorn(self, name, port):
        more = ["--threads", THREADS, "--keep-alive", 30] if self.worker == "gthread" else []
        return [VENV / "gunicorn", "--workers", WORKERS, "--worker-class", self.worker, *more,
                "--log-level", "warning", "-b", f"127.0.0.1:{port}", f"{name}:app"]  # fmt: skip

    def _start(self, name, line):
        with open(self.log_dir / f"python-{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(
                [str(part) for part in line], cwd=HERE / "baseline", env=self.env, stdout=log, stderr=log
            )

    def _wait(self, name, port):
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                return
            except OSError as error:
                if self.children[name].poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not start; see {self.log_dir}/python-{name}.log") from error
                time.sleep(0.1)

    def resident_mb(self):
        """Proportional: pages that workers share count once."""
        total = 0
        for child in self.children.values():
            found = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True, check=False)
            for pid in [child.pid, *map(int, found.stdout.split())]:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
                total += int(text.partition("\nPss:")[2].split()[0])
        return total / 1024

    def __exit__(self, *_):
        for child in self.children.values():
            child.send_signal(signal.SIGTERM)
        for child in self.children.values():
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.bare.drop("shop_python")
