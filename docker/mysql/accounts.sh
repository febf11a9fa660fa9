#!/bin/bash
# Run once by MySQL's entrypoint, on a new data folder: a schema for each service that has one, with an
# account that reads and writes rows and one that migrates.  Passwords: /run/secrets/mysql_ACCOUNT.
set -euo pipefail
shopt -s inherit_errexit

password() { # ACCOUNT
	local text
	text=$(cat "/run/secrets/mysql_$1")
	# They come from docker/setup; a quote would end the statement.
	[[ $text =~ ^[A-Za-z0-9_.~-]+$ ]] || {
		echo "accounts.sh: mysql_$1 has other characters than letters, digits and _.~-" >&2
		exit 1
	}
	printf '%s' "$text"
}

account() { # SCHEMA ACCOUNT RIGHTS
	local secret
	secret=$(password "$2")
	echo "CREATE USER '$2'@'%' IDENTIFIED BY '$secret';"
	echo "GRANT $3 ON \`$1\`.* TO '$2'@'%';"
}

statements() {
	local schema
	for schema in shop_user shop_product shop_order shop_notify; do
		echo "CREATE DATABASE \`$schema\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;"
		account "$schema" "$schema" 'SELECT, INSERT, UPDATE, DELETE'
		account "$schema" "${schema}_ddl" 'ALL PRIVILEGES'
	done
}

# In a variable first: a failure inside <() would not end the script.
sql=$(statements)
mysql --defaults-extra-file=<(printf '[client]\npassword="%s"\n' "$(cat "$MYSQL_ROOT_PASSWORD_FILE")") \
	--protocol=socket -uroot <<<"$sql"
