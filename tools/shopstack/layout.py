"""Where everything lives: the checkout, the cache that outlives it, one stack's folder."""

import hashlib
import os
import pathlib
import secrets
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A unix socket's path has room for 107 bytes.
SOCKET_PATH_MAX = 107


def cache_dir():
    """Downloads and made-once files, shared by all checkouts of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "shop"


def write_private(path, text):
    """Writes a file that only its owner may read, never half of it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(name, path)


class Layout:
    """The paths inside one stack's folder."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder).resolve()
        self.state = self.dir / "state.json"
        self.lock = self.dir / "lock"
        self.json = self.dir / "stack.json"
        self.log_dir = self.dir / "log"
        self.secrets = self.dir / "secrets"
        self.mysql = self.dir / "mysql"
        self.kafka = self.dir / "kafka"
        self.nginx = self.dir / "nginx"
        self.mail = self.dir / "mail"
        self.tls = self.dir / "tls"

    def make(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        for folder in (self.log_dir, self.secrets):
            folder.mkdir(mode=0o700, exist_ok=True)

    def log(self, name):
        return self.log_dir / f"{name}.log"

    def secret_file(self, name):
        return self.secrets / name

    def secret(self, name):
        """A random secret, made at first use and kept in a file for its owner only."""
        path = self.secret_file(name)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24) + "\n")
        return path.read_text(encoding="utf-8").strip()

    def mysql_socket(self):
        path = self.mysql / "mysql.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        mark = hashlib.sha256(os.fsencode(self.dir)).hexdigest()[:16]
        short = pathlib.Path(tempfile.gettempdir()) / f"shop-{os.getuid()}-{mark}"
        short.mkdir(mode=0o700, exist_ok=True)
        return short / "mysql.sock"
