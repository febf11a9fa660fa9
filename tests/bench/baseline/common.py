"""A connection pool per worker process."""

import os

import pymysql
from dbutils.pooled_db import PooledDB

_pool = None


def pool():
    global _pool
    if _pool is None:  # created lazily, after gunicorn has forked
        _pool = PooledDB(
            pymysql, mincached=1, maxconnections=int(os.getenv("DB_POOL", "16")), blocking=True, ping=0,
            host="127.0.0.1", port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
            password=os.environ["DB_PASSWORD"], database="shop_python",
            charset="utf8mb4", autocommit=False, cursorclass=pymysql.cursors.DictCursor)  # fmt: skip
    return _pool


class db:
    """with db() as cur: commits on success, rolls back on an exception."""

    def __enter__(self):
        self.conn = pool().connection()
        self.cur = self.conn.cursor()
        return self.cur

    def __exit__(self, exc_type, *_):
        try:
            self.conn.rollback() if exc_type else self.conn.commit()
        finally:
            self.cur.close()
            self.conn.close()  # back to the pool
