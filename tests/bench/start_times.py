#!/usr/bin/python3
"""How long each program takes from its start to a green /readyz, its dependencies being up.

  tests/bench/start_times.py STACK_JSON

Restarts every program of the stack five times, one after the other; prints medians as a Markdown table.
"""

import argparse
import http.client
import json
import pathlib
import signal
import statistics
import subprocess
import time
import urllib.parse

ROUNDS = 5
TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "stack"


def ready(netloc):
    try:
        conn = http.client.HTTPConnection(netloc, timeout=1)
        conn.request("GET", "/readyz")
        return conn.getresponse().status == 200
    except OSError:
        return False


def start_once(process, netloc):
    begin = time.monotonic()
    child = subprocess.Popen(process["argv"], env=process["env"], cwd=process.get("cwd"), stderr=subprocess.DEVNULL)
    try:
        while not ready(netloc):
            time.sleep(0.002)
            if child.poll() is not None or time.monotonic() - begin > 30:
                raise RuntimeError(f"{process['argv'][0]} does not become ready")
        return (time.monotonic() - begin) * 1000
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack")
    folder = pathlib.Path(parser.parse_args().stack).resolve().parent
    stack = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    processes = json.loads((folder / "state.json").read_text(encoding="utf-8"))["processes"]
    print("| start to ready | ms, median of 5 |\n|---|---|")
    for name in ("gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc", "processor"):
        netloc = urllib.parse.urlsplit(stack["services"][name][0]["admin"]).netloc
        subprocess.run([TOOL, "stop", "--dir", folder, name], check=True, capture_output=True)
        times = [start_once(processes[name], netloc) for _ in range(ROUNDS)]
        subprocess.run([TOOL, "start", "--dir", folder, name], check=True, capture_output=True)
        print(f"| {name} | {statistics.median(times):.0f} |", flush=True)


if __name__ == "__main__":
    main()
