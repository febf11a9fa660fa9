"""MariaDB (or MySQL, see mysql.py) with a data folder of its own, durable commits, small buffers."""

import getpass
import os
import shutil
import subprocess
import time

import pymysql

from . import mysql, proc
from .ui import StackError, tail

NAME = "mysql"
READER = "shop_reader"
# Schema of each service that has one.
SCHEMAS = {
    "user-svc": "shop_user",
    "product-svc": "shop_product",
    "order-svc": "shop_order",
    "notify-svc": "shop_notify",
}
RUN_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


def _tool(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        raise StackError(f"{name} is missing; run tools/install run")
    return path


def temporary(layout):
    """A folder of its own: a starting server removes temporary tables, also those of another one."""
    folder = layout.mysql / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _init(layout):
    """A new data folder; the account of this OS user may do everything, by the socket only."""
    data = layout.mysql / "data"
    if (data / "mysql").is_dir() and (layout.mysql / "complete").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    layout.mysql.mkdir(exist_ok=True)
    user = getpass.getuser()
    command = [
        _tool("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={data}",
        f"--user={user}",
        "--auth-root-authentication-method=socket",
        f"--auth-root-socket-user={user}",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=48M",
    ]
    env = {**os.environ, "TMPDIR": temporary(layout)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    (layout.mysql / "complete").touch()


def argv(layout, port, more=()):
    """`more`: options without their dashes; the later one wins."""
    return [
        _tool("mariadbd"),
        "--no-defaults",
        f"--datadir={layout.mysql / 'data'}",
        f"--user={getpass.getuser()}",
        f"--socket={layout.mysql_socket()}",
        f"--pid-file={layout.mysql / 'pid'}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=96M",
        "--innodb-log-file-size=48M",
        "--innodb-log-buffer-size=8M",
        "--key-buffer-size=1M",
        "--performance-schema=off",
        "--max-connections=300",
        "--character-set-server=utf8mb4",
        "--default-time-zone=+00:00",
        *(f"--{option}" for option in more),
    ]


def start(store, port):
    """Starts the server (and makes its data folder first)."""
    layout, options = store.layout, store.options
    more = options.get("mysql", ())
    if options.get("mysql_bin"):
        mysql.init(layout, options["mysql_bin"])
        command = mysql.argv(layout, options["mysql_bin"], port, more)
    else:
        _init(layout)
        command = argv(layout, port, more)
    env = {"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "TMPDIR": temporary(layout)}
    for setting in options["env"]:
        if setting.startswith(f"{NAME}:"):
            variable, _, value = setting.removeprefix(f"{NAME}:").partition("=")
            env[variable] = value
    return store.start(NAME, argv=command, env=env, cwd=str(layout.mysql), kind=NAME, port=port)


def connect(layout, **more):
    """As the administrator, over the socket."""
    return pymysql.connect(
        unix_socket=str(layout.mysql_socket()), user=getpass.getuser(), autocommit=True, **more
    )


def wait(store, seconds=60):
    """Until the server answers; the error has the end of its log."""
    entry = store.processes[NAME]
    deadline = time.monotonic() + seconds
    while proc.alive(entry) and time.monotonic() < deadline:
        try:
            connect(store.layout).close()
            return
        except pymysql.MySQLError:
            time.sleep(0.05)
    state = "does not answer" if proc.alive(entry) else "ended"
    raise StackError(f"mysql {state}; the end of {entry['log']}:\n{tail(entry['log'])}")


def accounts(schema):
    """The two accounts of one schema: what the service runs as, and what migrates it."""
    return {"run": schema, "migrate": f"{schema}_ddl"}


def _account(cursor, layout, user, grants):
    # Both names, for TCP and for the socket; nobody from outside reaches either.
    for host in ("127.0.0.1", "localhost"):
        who = f"'{user}'@'{host}'"
        password = layout.secret(f"mysql-{user}")
        cursor.execute(f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY %s", (password,))
        cursor.execute(f"ALTER USER {who} IDENTIFIED BY %s", (password,))
        for grant in grants:
            cursor.execute(f"GRANT {grant} TO {who}")


def provision(layout):
    """Schemas, one run-time and one migration account each, and a reader of all."""
    with connect(layout) as connection, connection.cursor() as cursor:
        reads = ["SHOW DATABASES ON *.*", "PROCESS ON *.*"]
        for schema in SCHEMAS.values():
            cursor.execute(
                f"CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4"
                " COLLATE utf8mb4_unicode_ci"
            )
            names = accounts(schema)
            _account(cursor, layout, names["run"], [f"{RUN_RIGHTS} ON `{schema}`.*"])
            _account(cursor, layout, names["migrate"], [f"ALL PRIVILEGES ON `{schema}`.*"])
            reads.append(f"SELECT ON `{schema}`.*")
        _account(cursor, layout, READER, reads)
