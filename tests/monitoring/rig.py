"""Prometheus, Alertmanager and node-exporter on loopback, watching a running stack.

What only Kubernetes has (kube-state-metrics, cAdvisor) is served from recorded/, as it came from a cluster.
"""

import contextlib
import functools
import http.server
import os
import pathlib
import threading

import requests
import yaml
from rule_files import ROOT, RULES
from shop_stack import until
from shopstack import ports, proc

RECORDED = pathlib.Path(__file__).resolve().parent / "recorded"
NODE_COLLECTORS = "cpu diskstats filesystem loadavg meminfo vmstat".split()


class _Recorded(http.server.SimpleHTTPRequestHandler):
    extensions_map = {"": "text/plain; version=0.0.4"}

    def log_message(self, *_):
        pass

    def handle(self):
        # A scrape that ran into its time-out is repeated.
        with contextlib.suppress(ConnectionError):
            super().handle()


class Rig:
    def __init__(self, folder, stack):
        self.folder, self.stack = folder, stack
        self.ports = ports.Ports({})
        self.stop = contextlib.ExitStack()

    def url(self, name):
        return f"http://{self._target(name)}"

    def _target(self, name):
        return f"127.0.0.1:{self.ports.by_name[name]}"

    def start(self):
        for name in ("prometheus", "alertmanager", "node-exporter", "recorded"):
            self.ports.get(name)
        self._serve_recorded()
        collectors = [f"--collector.{one}" for one in NODE_COLLECTORS]
        self._spawn("node-exporter", "prometheus-node-exporter", "--collector.disable-defaults", *collectors)
        self._spawn(
            "alertmanager",
            "prometheus-alertmanager",
            f"--config.file={self._alertmanager_config()}",
            f"--storage.path={self.folder / 'alertmanager'}",
            "--cluster.listen-address=",
        )
        self._spawn(
            "prometheus",
            "prometheus",
            f"--config.file={self._prometheus_config()}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
        )
        for name in ("alertmanager", "prometheus"):
            until(lambda name=name: self._answers(f"{self.url(name)}/-/ready"), 60, f"{name} ready")
        until(self.all_up, 60, "all targets up")
        return self

    def close(self):
        self.stop.close()

    def _spawn(self, name, program, *args):
        log = self.folder / f"{name}.log"
        listen = f"--web.listen-address={self._target(name)}"
        entry = proc.spawn([program, *args, listen], dict(os.environ), log, self.folder)
        self.stop.callback(proc.stop, [entry], 10)

    @staticmethod
    def _answers(url):
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=5).ok
        return False

    def _serve_recorded(self):
        handler = functools.partial(_Recorded, directory=str(RECORDED))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.ports.by_name["recorded"]), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.stop.callback(server.server_close)
        self.stop.callback(server.shutdown)

    def _alertmanager_config(self):
        """The real one, but for the address of the mail server."""
        text = yaml.safe_load((ROOT / "monitoring/alertmanager/alertmanager.yml").read_text(encoding="utf-8"))
        smtp = self.stack.env("notify-svc")["SMTP_URL"].removeprefix("smtp://")
        text["global"]["smtp_smarthost"] = smtp
        return self._write("alertmanager.yml", text)

    def _prometheus_config(self):
        """The real rules; the targets of this stack in the place of names that only compose or Kubernetes know."""
        jobs = [self._job("prometheus", self._target("prometheus")), self._job("alertmanager", self._target("alertmanager"))]
        jobs.append(self._job("node-exporter", self._target("node-exporter"), labels={"node": "n1"}))
        for program, running in self.stack["services"].items():
            admins = [one["admin"].removeprefix("http://") for one in running if one.get("admin")]
            if admins:
                jobs.append(self._job(program, *admins, labels={"namespace": "shop"}))
        for name in ("kube-state-metrics", "cadvisor"):
            jobs.append(self._job(name, self._target("recorded"), metrics_path=f"/{name}.txt", honor_labels=True))
        return self._write("prometheus.yml", {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
            "rule_files": [f"{RULES}/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self._target("alertmanager")]}]}]},
            "scrape_configs": jobs,
        })  # fmt: skip

    @staticmethod
    def _job(name, *targets, labels=None, **more):
        return {"job_name": name, "static_configs": [{"targets": list(targets), "labels": labels or {}}], **more}

    def _write(self, name, text):
        file = self.folder / name
        file.write_text(yaml.safe_dump(text), encoding="utf-8")
        return file

    def query(self, expr):
        """(value, labels) of an instant query."""
        answer = requests.post(f"{self.url('prometheus')}/api/v1/query", data={"query": expr}, timeout=30).json()
        assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [(float(data["result"][1]), {})]
        return [(float(one["value"][1]), one["metric"]) for one in data["result"]]

    def all_up(self):
        found = self.query("up")
        return len(found) >= len(self.stack["services"]) and all(value == 1 for value, _ in found)

    def alerts(self):
        """What Alertmanager has been told, by name and state."""
        return requests.get(f"{self.url('alertmanager')}/api/v2/alerts", timeout=10).json()
