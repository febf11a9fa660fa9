#!/bin/bash
# As the entrypoint of mysql:8.0 does: makes the data folder at the first start, with root's password and
# what /docker-entrypoint-initdb.d says, and only then listens on TCP.
#
# MYSQL_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD_FILE, MYSQL_ROOT_HOST, MYSQL_DATABASE, MYSQL_USER with
# MYSQL_PASSWORD or MYSQL_PASSWORD_FILE; arguments are options of mysqld.
set -eo pipefail
shopt -s nullglob

DATA=/var/lib/mysql
SOCKET=/var/run/mysqld/mysqld.sock
BASE=(mysqld "--datadir=$DATA" "--socket=$SOCKET"
	--pid-file=/var/run/mysqld/mysqld.pid)

note() { echo "$(date -u +%FT%TZ) [Note] [Entrypoint]: $*"; }

die() {
	echo "$(date -u +%FT%TZ) [ERROR] [Entrypoint]: $*" >&2
	exit 1
}

from_file() { # NAME
	local file=$1_FILE
	if [ -n "${!file:-}" ]; then export "$1=$(<"${!file}")"; fi
}

sql() {
	mysql --defaults-extra-file=<(printf '[client]\npassword="%s"\n' "${ROOT_NOW:-}") --protocol=socket \
		"--socket=$SOCKET" -uroot "$@"
}

# What scripts that are sourced may call.
docker_process_sql() {
	[ "$1" != --dont-use-mysql-root-password ] || shift
	sql "$@"
}

setup_database() {
	local host=${MYSQL_ROOT_HOST:-%}
	sql <<-SQL
		ALTER USER 'root'@'localhost' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
		CREATE USER 'root'@'$host' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
		GRANT ALL ON *.* TO 'root'@'$host' WITH GRANT OPTION;
	SQL
	ROOT_NOW=$MYSQL_ROOT_PASSWORD
	[ -z "$MYSQL_DATABASE" ] || sql <<<"CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
	[ -z "$MYSQL_USER" ] || sql <<<"CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
	[ -z "$MYSQL_USER" ] || [ -z "$MYSQL_DATABASE" ] ||
		sql <<<"GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO '$MYSQL_USER'@'%';"
}

init_files() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		note "running $file"
		# shellcheck disable=SC1090 # whoever mounts it knows
		case $file in
		*.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
		*.sql) sql ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} <"$file" ;;
		*) note "ignoring $file" ;;
		esac
	done
}

initialize() {
	from_file MYSQL_ROOT_PASSWORD
	from_file MYSQL_PASSWORD
	[ -n "$MYSQL_ROOT_PASSWORD" ] || die "Database is uninitialized and password option is not specified"
	note "Initializing database files"
	"${BASE[@]}" "$@" --initialize-insecure
	"${BASE[@]}" "$@" --skip-networking &
	local server=$!
	until mysqladmin --no-defaults "--socket=$SOCKET" -uroot ping >/dev/null 2>&1; do
		kill -0 $server 2>/dev/null || die "the server ended"
		sleep 0.1
	done
	setup_database
	init_files
	kill $server
	wait $server
	note "MySQL init process done. Ready for start up."
}

[ "${1:0:1}" = - ] && set -- mysqld "$@"
[ "$1" = mysqld ] || exec "$@"
shift
if [ "$(id -u)" = 0 ]; then
	chown mysql:mysql "$DATA" /var/run/mysqld
	exec setpriv --reuid=mysql --regid=mysql --clear-groups "$0" mysqld "$@"
fi
[ -d "$DATA/mysql" ] || initialize "$@"
exec "${BASE[@]}" "$@"
