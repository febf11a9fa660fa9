# shellcheck shell=bash
# common.sh - where things are, and what every part needs.

# Used by the other parts.
# shellcheck disable=SC2034
{
	STATE=$K8S_DIR/state
	BIN=$K8S_DIR/bin IMAGES=$K8S_DIR/images
	PKI=$STATE/pki LOG=$STATE/log
	CONTROLLERS="cpu cpuacct cpuset memory devices freezer blkio pids"
	NET=172.30.0 MOST_NODES=4
}
mkdir -p "$BIN" "$STATE"
export PATH=$BIN:$PATH

die() {
	echo "cluster: $*" >&2
	exit 1
}

# until_true TRIES SECONDS COMMAND...: false when it never was.
until_true() {
	local tries=$1 pause=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ $((tries -= 1)) -gt 0 ] || return 1
		sleep "$pause"
	done
}

k() { KUBECONFIG=$STATE/admin.conf "$BIN/kubectl" "$@"; }

# Starts a part in the background with a log of its own.
background() {
	local name=$1
	shift
	(exec "$@") >>"$LOG/$name.log" 2>&1 &
}
