# shellcheck shell=bash
# host.sh - start and end the machines from outside.

# The pid of a machine's init: the one child of the unshare process that was recorded.
init_pid() {
	local pid child
	[ -s "$STATE/$1.pid" ] || return 1
	pid=$(<"$STATE/$1.pid")
	[ -e "/proc/$pid/task/$pid/children" ] || return 1
	child=$(tr -d '\n ' <"/proc/$pid/task/$pid/children")
	[ -n "$child" ] && echo "$child"
}

has_own_network() { # MACHINE
	local pid
	pid=$(init_pid "$1") && [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

inside() { # MACHINE COMMAND...
	local pid
	pid=$(init_pid "$1") || die "no machine $1"
	shift
	nsenter -t "$pid" -m -n -p -u -i "$@"
}

# ---- cgroups: a node gets a group of its own in every hierarchy ----

node_cgroups() { # NAME
	local name path
	for name in $CONTROLLERS name=systemd; do
		path=$(awk -F: -v name="$name" '$2 == name {print $3}' /proc/self/cgroup)
		echo "/sys/fs/cgroup/${name#name=}${path%/}/k8s-$1"
	done
}

make_cgroups() { # NAME
	local folder file
	while read -r folder; do
		mkdir -p "$folder"
		case $folder in */cgroup/cpuset*)
			for file in cpuset.cpus cpuset.mems; do
				cat "${folder%/*}/$file" >"$folder/$file"
			done
			;;
		esac
	done <"$STATE/$1.cgroups"
}

remove_cgroups() { # NAME; false while a process is left in one
	local folder left=0
	[ -s "$STATE/$1.cgroups" ] || return 0
	while read -r folder; do
		[ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
	done <"$STATE/$1.cgroups"
	return $left
}

enter_cgroups() { # NAME
	local folder
	while read -r folder; do echo $$ >"$folder/cgroup.procs"; done <"$STATE/$1.cgroups"
}

# ---- nodes ----

# Starts the node inside its cgroups, and removes those when it has ended.
supervise() { # NAME NUMBER
	local child
	make_cgroups "$1"
	(
		# $$ is the supervisor's; a new shell has a pid of its own.
		# shellcheck disable=SC2016
		exec bash -c '. "$1/lib/common.sh"; . "$1/lib/host.sh"; enter_cgroups "$2"; exec unshare -C -n -m -p -u -i -f --kill-child --mount-proc bash "$1/cluster" __node "$2" "$3"' \
			node "$SOURCE" "$1" "$2"
	) &
	child=$!
	echo $child >"$STATE/$1.pid"
	# shellcheck disable=SC2064
	trap "kill -9 $child 2>/dev/null" TERM INT
	wait $child || true
	wait $child 2>/dev/null || true
	until_true 20 0.3 remove_cgroups "$1"
}

spawn() { # NAME NUMBER
	rm -f "$STATE/$1.pid"
	node_cgroups "$1" >"$STATE/$1.cgroups"
	setsid bash "$SELF" __supervise "$1" "$2" </dev/null >"$LOG/$1-init.log" 2>&1 &
	echo $! >"$STATE/$1.supervisor"
}

# The cable from the control plane's bridge to a node.
wire() { # NAME NUMBER
	local control node
	until_true 300 0.1 has_own_network ctl || die "the control plane did not start, see $LOG"
	until_true 300 0.1 has_own_network "$1" || die "$1 did not start, see $LOG"
	control=$(init_pid ctl)
	node=$(init_pid "$1")
	nsenter -t "$control" -n ip link add "v$1" mtu 1400 type veth peer name eth0 netns "$node"
	nsenter -t "$control" -n ip link set "v$1" master br0 up
	nsenter -t "$control" -n ip route replace "10.244.$2.0/24" via "$NET.1$2"
}

node_stop() { # NAME
	local pid
	pid=$(init_pid "$1") || die "no $1"
	kill -KILL "$pid"
	until_true 50 0.1 test ! -e "/proc/$(<"$STATE/$1.supervisor")" || die "$1 does not end"
}

node_start() { # NAME
	spawn "$1" "${1#n}"
	wire "$1" "${1#n}"
}

# ---- the whole ----

bridge_is_up() { nsenter -t "$(init_pid ctl)" -n ip link show br0 | grep -q UP; }
nodes_ready() { [ "$(k get nodes --no-headers | grep -c ' Ready')" = "$1" ]; }
# coredns: where there is one node only, its second copy has nowhere to go
addons_ready() { [ "$(k -n kube-system get deploy coredns metrics-server --no-headers | grep -c ' [1-9]/')" = 2 ]; }

start_control() {
	setsid unshare -n -m -p -u -i -f --kill-child --mount-proc bash "$SELF" __control \
		</dev/null >"$LOG/ctl-init.log" 2>&1 &
	echo $! >"$STATE/ctl.pid"
	until_true 300 0.1 has_own_network ctl || die "the control plane did not start, see $LOG"
	until_true 300 0.1 bridge_is_up || die "no bridge, see $LOG"
}

# The only port on the host: a relay into the control plane's network.
relay_api() {
	setsid socat "TCP-LISTEN:$K8S_PORT,bind=127.0.0.1,fork,reuseaddr" \
		EXEC:"nsenter -t $(init_pid ctl) -n socat STDIO TCP\:$NET.1\:6443" \
		</dev/null >"$LOG/relay.log" 2>&1 &
	echo $! >"$STATE/relay.pid"
}

up() { # NODES
	local i began=$SECONDS
	[ -x "$BIN/hyper" ] || die "run build first"
	[[ $1 =~ ^[1-$MOST_NODES]$ ]] || die "1 to $MOST_NODES nodes"
	down
	rm -rf "$LOG" "$STATE/control.ready"
	mkdir -p "$LOG"
	pki
	start_control
	for ((i = 1; i <= $1; i++)); do node_start "n$i" "$i"; done
	relay_api
	until_true 600 0.5 test -e "$STATE/control.ready" || die "the control plane is not ready, see $LOG"
	until_true 240 0.5 nodes_ready "$1" || die "nodes are not ready, see $LOG"
	until_true 240 0.5 addons_ready || die "coredns and metrics-server are not ready"
	echo "cluster: $1 nodes ready after $((SECONDS - began)) s; KUBECONFIG=$STATE/admin.conf"
}

# Is this recorded pid still the process that we started? Perhaps from another checkout.
is_ours() { # PID
	[ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -e "/cluster/cluster __" -e "TCP-LISTEN:$K8S_PORT"
}

end_recorded() { # FILE SIGNAL
	local pid
	[ -s "$1" ] || return 0
	pid=$(<"$1")
	! is_ours "$pid" || kill "-$2" "$pid" 2>/dev/null || true
	until_true 50 0.1 test ! -e "/proc/$pid" || true
}

down() {
	local file name
	end_recorded "$STATE/relay.pid" TERM
	for file in "$STATE"/*.supervisor; do end_recorded "$file" TERM; done
	end_recorded "$STATE/ctl.pid" KILL
	for file in "$STATE"/*.cgroups; do
		[ -e "$file" ] || continue
		name=$(basename "$file" .cgroups)
		until_true 20 0.3 remove_cgroups "$name" || echo "cluster: cgroups of $name are left" >&2
	done
	# Nothing stays mounted: every mount was made in a private mount namespace.
	rm -rf "$STATE"/*.pid "$STATE"/*.supervisor "$STATE"/*.cgroups "$STATE/etcd" "$STATE"/n[1-9]
}

load_node() { # NODE ARCHIVE...
	local pid archive
	pid=$(init_pid "$1")
	for archive in "${@:2}"; do
		nsenter -t "$pid" -m -n -p ctr -n k8s.io images import "$(readlink -f "$archive")"
	done
}

# All nodes at the same time.
load() { # ARCHIVE...
	local file job jobs=()
	for file in "$STATE"/n*.pid; do
		load_node "$(basename "$file" .pid)" "$@" &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do wait "$job"; done
}
