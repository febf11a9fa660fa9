#!/bin/sh
# with_mariadb.sh COMMAND... - runs a command against a throw-away MariaDB server, or against
# MySQL's: TEST_DB_SERVER names its mysqld then (see tools/mysql-tree).
# The command finds it by TEST_DB_SOCKET, TEST_DB_PORT, TEST_DB_USER, TEST_DB_NAME, and may
# stop and start it with TEST_DB_STOP and TEST_DB_START (commands).
set -eu

dir=$(mktemp -d)
user=$(id -un)
tools=$(dirname "$0")/../../tools
port=$(PYTHONPATH=$tools /usr/bin/python3 -Bc 'from shopstack.ports import Ports; print(Ports({}).get("db"))')
chmod 755 "$dir"
# A starting server removes what looks like its temporary tables, also those of another one.
mkdir "$dir/tmp"
export TMPDIR="$dir/tmp"

stop() {
	if [ -f "$dir/pid" ]; then
		pid=$(cat "$dir/pid")
		kill "$pid" 2>/dev/null || true
		while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
	fi
}
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

if [ "${TEST_DB_SERVER:-}" ]; then
	server=$TEST_DB_SERVER
	own="--skip-log-bin --innodb-redo-log-capacity=32M"
	set_up() { "$server" --datadir="$dir/data" --user="$user" --initialize-insecure; }
else
	server="mariadbd --no-defaults"
	own="--innodb-flush-method=nosync --innodb-log-file-size=8M"
	set_up() {
		mariadb-install-db --no-defaults --datadir="$dir/data" --user="$user" --skip-test-db \
			--auth-root-authentication-method=normal --skip-name-resolve --innodb-use-native-aio=0
	}
fi

cat >"$dir/start" <<SCRIPT
#!/bin/sh
$server --datadir=$dir/data --user=$user --socket=$dir/sock --pid-file=$dir/pid \\
	--bind-address=127.0.0.1 --port=$port --skip-name-resolve --performance-schema=off \\
	--innodb-flush-log-at-trx-commit=0 --innodb-use-native-aio=0 $own \${TEST_DB_SERVER_ARGS:-} >>$dir/log 2>&1 &
for i in \$(seq 200); do
	mariadb-admin --no-defaults -S $dir/sock -uroot ping >/dev/null 2>&1 && exit 0
	sleep 0.05
done
tail -n 20 $dir/log >&2
exit 1
SCRIPT
cat >"$dir/stop" <<SCRIPT
#!/bin/sh
pid=\$(cat $dir/pid)
kill "\$pid"
while kill -0 "\$pid" 2>/dev/null; do sleep 0.05; done
SCRIPT
chmod +x "$dir/start" "$dir/stop"

set_up >"$dir/log" 2>&1 ||
	{ cat "$dir/log" >&2; exit 1; }
"$dir/start"
mariadb --no-defaults -S "$dir/sock" -uroot -e 'CREATE DATABASE test_db CHARACTER SET utf8mb4'

TEST_DB_SOCKET=$dir/sock TEST_DB_PORT=$port TEST_DB_USER=root TEST_DB_NAME=test_db \
	TEST_DB_START=$dir/start TEST_DB_STOP=$dir/stop "$@"
