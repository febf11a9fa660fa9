"""ordbench: the bare order path on the stack's own MariaDB, so with the same settings."""

import getpass
import json
import os
import pathlib
import secrets

import pymysql

from . import machine

HERE = pathlib.Path(__file__).resolve().parents[1]
USER = "bench"
SCHEMAS = ("bench_product", "bench_order")


class Bare:
    """`run()` makes the tables anew each time, so no run pays for an earlier one's."""

    def __init__(self, stack, programs):
        self.mysql, self.program = stack["mysql"], str(programs / "ordbench")
        self.password = secrets.token_urlsafe(16)
        with self._admin() as conn, conn.cursor() as cursor:
            who = f"'{USER}'@'127.0.0.1'"
            cursor.execute(f"CREATE OR REPLACE USER {who} IDENTIFIED BY %s", (self.password,))
            for schema in (*SCHEMAS, "shop_python"):
                cursor.execute(f"GRANT ALL ON `{schema}`.* TO {who}")

    def _admin(self):
        """As this OS user, by the socket."""
        return pymysql.connect(
            unix_socket=self.mysql["socket"], user=getpass.getuser(), autocommit=True,
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        )  # fmt: skip

    def script(self, path, *more):
        """Runs a file of SQL."""
        with self._admin() as conn, conn.cursor() as cursor:
            cursor.execute(pathlib.Path(path).read_text(encoding="utf-8") + "".join(more))
            while cursor.nextset():
                pass

    def run(self, mode, connections, seconds, users, products, warm=1, packets=False):
        """mode: plain or batched.  Users and products: 1 is hot."""
        self.script(HERE / "ordbench" / "schema.sql")
        line = [self.program, "--port", self.mysql["port"], "--user", USER, "--mode", mode,
                "--connections", connections, "--seconds", seconds, "--warm", warm,
                "--users", users, "--products", products]  # fmt: skip
        line += ["--packets"] if packets else []
        env = {**os.environ, "ORDBENCH_PASSWORD": self.password}
        text, _ = machine.run(line, env)
        self.drop(*SCHEMAS)
        return {**json.loads(text), "latency_of": "accepted"}

    def drop(self, *schemas):
        """Dirty pages of tables that are gone are not written back during the next run."""
        with self._admin() as conn, conn.cursor() as cursor:
            for schema in schemas:
                cursor.execute(f"DROP DATABASE IF EXISTS `{schema}`")
