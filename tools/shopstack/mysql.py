"""MySQL's own server in the place of MariaDB, as `tools/mysql-tree` fetches it (`up --mysql-bin`)."""

import getpass
import shutil
import subprocess

from .ui import StackError


def _common(layout, server):
    return [server, f"--datadir={layout.mysql / 'data'}", f"--user={getpass.getuser()}"]


def _init_file(layout):
    """Run at every start: this OS user may do everything, by the socket only, and root no more than that."""
    user = getpass.getuser()
    lines = [
        f"CREATE USER IF NOT EXISTS '{user}'@'localhost';",
        f"ALTER USER '{user}'@'localhost' IDENTIFIED WITH auth_socket;",
        f"GRANT ALL ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;",
    ]
    if user != "root":
        lines.append("ALTER USER 'root'@'localhost' ACCOUNT LOCK;")
    path = layout.mysql / "init.sql"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def init(layout, server):
    """A new data folder, unless there is one."""
    if (layout.mysql / "complete").exists():
        return
    shutil.rmtree(layout.mysql / "data", ignore_errors=True)
    layout.mysql.mkdir(exist_ok=True)
    command = [*_common(layout, server), "--initialize-insecure"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"mysqld --initialize-insecure failed:\n{done.stdout}{done.stderr}")
    (layout.mysql / "complete").touch()


def argv(layout, server, port, more=()):
    return [
        *_common(layout, server),
        f"--socket={layout.mysql_socket()}",
        f"--pid-file={layout.mysql / 'pid'}",
        f"--init-file={_init_file(layout)}",
        "--plugin-load-add=auth_socket.so",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=96M",
        "--innodb-redo-log-capacity=96M",
        "--performance-schema=off",
        "--max-connections=300",
        "--character-set-server=utf8mb4",
        "--default-time-zone=+00:00",
        *(f"--{option}" for option in more),
    ]
