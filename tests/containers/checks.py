"""What an image or a container must be like: each check returns what is wrong, as a list of lines."""

import json
import re

MB = 1_000_000
SIZE_MAX = {name: 15 * MB for name in "gateway user-svc product-svc order-svc analytics-svc processor".split()}
SIZE_MAX["notify-svc"] = 30 * MB  # libcurl and what it brings
# Shells, package managers and what else an intruder would look for.
TOOLS = re.compile(
    r"(^|/)(sh|bash|dash|ash|zsh|busybox|apt|apt-get|dpkg|rpm|apk|perl|python[\d.]*|curl|wget|nc|openssl|ldconfig|su|sudo)$"
)
# Put there by the engine when a container is made.
ENGINE_FILES = re.compile(r"^(dev|proc|sys|run|tmp)(/|$)|^etc/(hosts|hostname|resolv\.conf|mtab)$|^\.dockerenv$")
LABELS = "title description version revision created vendor".split()
FREE = "/run/secrets/"


def image_labels(found, version):
    labels = found["Config"].get("Labels") or {}
    bad = [f"no label {key}" for key in LABELS if not labels.get(f"org.opencontainers.image.{key}")]
    if labels.get("org.opencontainers.image.version") != version:
        bad.append(f"label says version {labels.get('org.opencontainers.image.version')}, the program {version}")
    return bad


def image_files(files):
    """No tools, nothing that lets one become another user, nothing that anybody may write."""
    bad = []
    for path, (entry, _) in files.items():
        if TOOLS.search(path):
            bad.append(f"{path} is a tool")
        if entry.isfile() and entry.mode & 0o6000:
            bad.append(f"{path} is setuid or setgid")
        if entry.isfile() and entry.mode & 0o022 and not ENGINE_FILES.match(path):
            bad.append(f"{path} may be written by others")
    return bad


def sha256_of(file):
    return next(c["checksumValue"] for c in file["checksums"] if c["algorithm"] == "SHA256")


def sbom_files(document, files, own_path):
    """The SBOM lists exactly the files of the image, with their sums, each in a package."""
    there = {
        path: sha256
        for path, (entry, sha256) in files.items()
        if entry.isfile() and path != own_path and not ENGINE_FILES.match(path)
    }
    sums = {file["fileName"].removeprefix("./"): sha256_of(file) for file in document["files"]}
    bad = [f"{path} is not in the SBOM" for path in sorted(there.keys() - sums.keys())]
    bad += [f"{path} is in the SBOM only" for path in sorted(sums.keys() - there.keys())]
    bad += [f"{path} has another sum" for path in sorted(there.keys() & sums.keys()) if there[path] != sums[path]]
    packages = {package["SPDXID"] for package in document["packages"]}
    contained = {
        r["relatedSpdxElement"]: r["spdxElementId"]
        for r in document["relationships"]
        if r["relationshipType"] == "CONTAINS"
    }
    for file in document["files"]:
        if contained.get(file["SPDXID"]) not in packages:
            bad.append(f"{file['fileName']} belongs to no package")
    return bad


def container_settings(found):
    """Of a running container: what docker/compose.yaml promises for all."""
    host, bad = found["HostConfig"], []
    if not host["ReadonlyRootfs"]:
        bad.append("its root can be written")
    if not host.get("Memory"):
        bad.append("no memory limit")
    if not (host.get("NanoCpus") or host.get("CpuQuota")):
        bad.append("no CPU limit")
    if not host.get("PidsLimit") or host["PidsLimit"] < 0:
        bad.append("no limit of processes")
    if host.get("Privileged"):
        bad.append("privileged")
    for port, bindings in (host.get("PortBindings") or {}).items():
        bad += [f"port {port} is open on {b['HostIp'] or 'all'}" for b in bindings or [] if b["HostIp"] != "127.0.0.1"]
    for setting in found["Config"]["Env"]:
        name, _, value = setting.partition("=")
        if re.search("PASSWORD|SECRET", name) and value and not value.startswith(FREE):
            bad.append(f"{name} is in its environment")
    return bad


def process_rights(status):
    """Of a container's first process, by /proc/PID/status of the host."""
    bad = []
    if status["Uid"].split()[0] == "0":
        bad.append("runs as root")
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        if int(status[kind], 16):
            bad.append(f"{kind} is {status[kind].strip()}")
    if status["NoNewPrivs"].strip() != "1":
        bad.append("may gain privileges")
    return bad


ALARM = re.compile(r"\b(WARN(ING)?|ERROR|FATAL|CRITICAL|emerg|alert|crit|panic|Traceback|Exception)\b", re.I)
# Said by servers in any healthy start, with the reason why it is no alarm.
HARMLESS = [
    # MySQL: its own certificate, for whoever wants TLS; the container has no other users; the password
    # is set some lines later.
    r"CA certificate ca\.pem is self signed",
    r"Insecure configuration for --pid-file",
    r"root@localhost is created with an empty password",
    # Kafka and the processor, on an empty volume: the log and the coordinator are made just now.
    r"Performing controller activation\. The metadata log appears to be empty",
    r"Coordinator load in progress: retrying",
]


def alarming(log):
    """Lines of a log that would worry whoever starts the shop; programs say their level in JSON."""
    bad = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            wrong = isinstance(entry, dict) and entry.get("level") not in ("debug", "info")
        except ValueError:
            wrong = ALARM.search(line)
        if wrong and not any(re.search(known, line) for known in HARMLESS):
            bad.append(line)
    return bad
