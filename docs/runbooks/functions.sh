# shellcheck shell=bash
# Short commands that the runbooks use:  . docs/runbooks/functions.sh
#
#   admin NAME PATH [POD]   what an instance of a program says on its admin listener: admin order-svc /readyz
#   logs NAME [OPTION...]   what all pods of a program or Job logged, by time: logs order-svc --since=10m
#   prom QUERY              what Prometheus says now: prom 'max(shop_outbox_age_seconds)'
#   sql NAME QUERY          in the schema of a program, as in the manifests of the local overlay
#   kafka TOOL ARGS...      Kafka's own tools, in the cluster: kafka consumer-groups --list
#   fresh NAME...           EKS: Secrets as Secrets Manager has them now; returns when they are there: fresh user-svc
#
# The images have no shell, so `admin` and `prom` come in by port-forward; kubectl, curl and python3 are all that is needed.

_forward() { # NAMESPACE WHAT PORT PATH
	local out pid port status
	out=$(mktemp)
	kubectl -n "$1" port-forward "$2" ":$3" >"$out" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$out" | head -n1)
		[ -n "$port" ] && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	if [ -n "$port" ]; then
		curl -sS --max-time 10 "http://127.0.0.1:$port$4"
		status=$?
	else
		cat "$out" >&2
		status=1
	fi
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rm -f "$out"
	return "$status"
}

admin() { # NAME PATH [POD]
	local pod=${3:-}
	[ -n "$pod" ] || pod=$(kubectl -n shop get pods -l "app.kubernetes.io/name=$1" -o name | head -n1)
	_forward shop "${pod:-pod/none-of-$1}" 9090 "$2"
	echo
}

# `kubectl logs deploy/NAME` would be one pod of several, and a selector shows ten lines unless told.
logs() { # NAME [OPTION...]
	kubectl -n shop logs -l "app.kubernetes.io/name=$1" --prefix --timestamps --tail=-1 "${@:2}" | sort -s -k2,2
}

prom() { # QUERY
	local query
	query=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$1")
	_forward monitoring svc/prometheus 9090 "/api/v1/query?query=$query" | python3 -c '
import json, sys
answer = json.load(sys.stdin)
for one in answer.get("data", {}).get("result", []):
    print(one["value"][1], " ".join(f"{k}={v}" for k, v in sorted(one["metric"].items())))
if answer["status"] != "success":
    sys.exit(answer["error"])'
}

sql() { # NAME QUERY
	# shellcheck disable=SC2016 # expanded in the pod
	kubectl -n shop exec -i mysql-0 -- sh -c \
		'MYSQL_PWD=$(cat "$MYSQL_ROOT_PASSWORD_FILE") exec mysql --protocol=tcp -h 127.0.0.1 -u root -t "$0"' \
		"shop_${1%-svc}" <<<"$2"
}

kafka() { # TOOL ARGS...
	local tool=$1
	shift
	kubectl -n shop exec kafka-0 -- "/opt/kafka/bin/kafka-$tool.sh" --bootstrap-server localhost:9092 "$@"
}

_refreshed() { # NAME
	kubectl -n shop get externalsecret "$1" -o 'jsonpath={.status.refreshTime}'
}

# The operator sets refreshTime, in whole seconds, when it has read the secret and written it; not when that failed.
fresh() { # NAME...
	local name before now status=0
	for name in "$@"; do
		before=$(_refreshed "$name") || return
		kubectl -n shop annotate externalsecret "$name" "force-sync=$(date +%s)" --overwrite >/dev/null || return
		for _ in $(seq 60); do
			now=$(_refreshed "$name")
			[ -n "$now" ] && [ "$now" != "$before" ] && continue 2
			sleep "${FRESH_PAUSE:-1}"
		done
		echo "$name was not refreshed: kubectl -n shop describe externalsecret $name" >&2
		status=1
	done
	return "$status"
}
