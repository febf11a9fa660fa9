"""tools/lint-migrations: what it takes, and that each statement with which version N-1 could not go on is refused."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "lint-migrations"

GOOD = {
    "a table": "CREATE TABLE a (id BIGINT NOT NULL, name CHAR(3) NOT NULL, PRIMARY KEY (id), UNIQUE KEY n (name))",
    "a column that may be NULL": "ALTER TABLE orders ADD COLUMN gift_note VARCHAR(100) NULL",
    "a column with a value": "ALTER TABLE orders ADD gift ENUM('no','yes') NOT NULL DEFAULT 'no' AFTER id",
    "a computed column": "ALTER TABLE outbox ADD COLUMN part TINYINT AS (user_id MOD 8) STORED NOT NULL",
    "an index": "ALTER TABLE orders\n  ADD COLUMN a INT NULL,\n  ADD KEY a_b (a, status), ALGORITHM=INPLACE",
    "an index by itself": "CREATE INDEX a ON orders (status)",
    "a default": "ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'new'",
    "rows": "INSERT INTO a VALUES (1, 'drop; me'); UPDATE a SET name = 'b'",
    "words in comments": "-- DROP TABLE a;\n/* RENAME TABLE a TO b; */ # MODIFY\nCREATE TABLE a (id INT)",
    "words as names": "ALTER TABLE `drop` ADD COLUMN `change` INT NULL COMMENT 'MODIFY, RENAME'",
}
BAD = {
    "a column goes": "ALTER TABLE orders DROP COLUMN currency",
    "a column goes, in short": "alter table orders drop currency",
    "a table goes": "DROP TABLE IF EXISTS order_keys",
    "an index goes": "ALTER TABLE orders DROP INDEX reservation",
    "a column is renamed": "ALTER TABLE orders RENAME COLUMN currency TO money",
    "a table is renamed": "RENAME TABLE orders TO sales",
    "a table is renamed by ALTER": "ALTER TABLE orders RENAME TO sales",
    "a column is tightened": "ALTER TABLE orders MODIFY cancelled_at DATETIME(3) NOT NULL",
    "a column is changed": "ALTER TABLE orders CHANGE COLUMN currency currency CHAR(2) NOT NULL",
    "a value is asked for": "ALTER TABLE orders ADD COLUMN shop INT NOT NULL",
    "a default is only a name": "ALTER TABLE orders ADD `default` INT NOT NULL COMMENT 'DEFAULT 1'",
    "a default goes": "ALTER TABLE products ALTER COLUMN changed DROP DEFAULT",
    "values may not repeat": "ALTER TABLE orders ADD UNIQUE KEY one (user_id, created_at)",
    "values may not repeat, by an index": "CREATE UNIQUE INDEX one ON orders (user_id)",
    "values are checked": "ALTER TABLE orders ADD CONSTRAINT few CHECK (total_price < 100)",
    "rows must be there": "ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders (id)",
    "other characters": "ALTER TABLE users CONVERT TO CHARACTER SET ascii",
    "rows go": "TRUNCATE TABLE outcomes",
    "a table is made anew": "CREATE OR REPLACE TABLE outcomes (id INT)",
    "behind what is good": "ALTER TABLE orders ADD COLUMN a INT NULL,\n  DROP COLUMN currency",
    "in a comment that the server reads": "ALTER TABLE orders /*!80000 DROP COLUMN currency */",
    "behind a mark without words": "-- contract:\nDROP TABLE a",
    "behind the mark of another": "-- contract: since 1.4 nothing reads a\nDROP TABLE a;\nDROP TABLE b",
    "before a mark": "DROP TABLE a; -- contract: since 1.4 nothing reads it\n",
}


def lint(*files):
    done = subprocess.run([TOOL, *files], capture_output=True, text=True, timeout=20, check=False)
    assert not done.stderr and (done.returncode == 1) == bool(done.stdout), done
    return done.stdout.splitlines()


def written(folder, sql):
    file = folder / "0009_next.sql"
    file.write_text(f"{sql};\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("what", GOOD)
def test_what_the_version_before_does_not_notice_is_good(tmp_path, what):
    assert lint(written(tmp_path, GOOD[what])) == []


@pytest.mark.parametrize("what", BAD)
def test_what_the_version_before_may_need_is_refused(tmp_path, what):
    assert len(lint(written(tmp_path, BAD[what]))) == 1


@pytest.mark.parametrize("what", [what for what in BAD if "mark" not in what])
def test_it_is_good_when_it_says_since_when(tmp_path, what):
    assert lint(written(tmp_path, f"-- Contract.\n-- contract: since 1.4 nothing reads it\n{BAD[what]}")) == []


def test_the_line_is_told(tmp_path):
    file = written(tmp_path, "-- A table.\nCREATE TABLE a (\n  id INT\n);\n\n-- And\n-- one less.\nDROP TABLE b")
    assert [line.split(": ")[0] for line in lint(file)] == [f"{file}:8"]


def test_ours_are_looked_at(tmp_path):
    """Without a name it takes every program's; each of them would be seen."""
    assert lint() == []
    (tmp_path / "tools").mkdir()
    copied = shutil.copy(TOOL, tmp_path / "tools")
    ours = sorted(ROOT.glob("*/migrations/*.sql"))
    assert {file.parts[-3] for file in ours} == {"user-svc", "product-svc", "order-svc", "notify-svc"}
    for file in ours:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text(encoding="utf-8") + "\nALTER TABLE a DROP b;\n", encoding="utf-8")
    done = subprocess.run([copied], capture_output=True, text=True, timeout=20, check=False)
    found = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert found == [str(file.relative_to(ROOT)) for file in ours], done.stdout
