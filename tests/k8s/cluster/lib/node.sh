# shellcheck shell=bash
# node.sh - one node; runs as pid 1 of namespaces of its own.

# Cgroup hierarchies as kubelet and runc expect them, all below the node's own groups.
mount_cgroups() {
	local name
	mount -t sysfs sysfs /sys
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	for name in $CONTROLLERS; do
		mkdir "/sys/fs/cgroup/$name"
		mount -t cgroup -o "$name" "$name" "/sys/fs/cgroup/$name"
	done
	mkdir /sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd
}

# /proc/sys is read-only except net: kubelet must not change the machine's tunables.  It is shown
# files that hold the values it wants.
mask_sysctls() {
	local setting file
	mount --bind /proc/sys /proc/sys
	mount --bind /proc/sys/net /proc/sys/net
	mount -o remount,bind,ro /proc/sys /proc/sys
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/lock /run/sysctl
	for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 \
		kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
		kernel/keys/root_maxbytes=25000000; do
		file=/run/sysctl/${setting%=*}
		mkdir -p "${file%/*}"
		echo "${setting#*=}" >"$file"
		mount --bind "$file" "/proc/sys/${setting%=*}"
	done
}

mount_folders() { # FOLDER
	mkdir -p "$1"/{kubelet,containerd,log,cni,cnilib,etc} \
		/var/lib/kubelet /var/lib/containerd /var/lib/cni /etc/cni/net.d
	mount --bind "$1/log" /var/log
	mount --bind "$1/kubelet" /var/lib/kubelet
	mount --make-shared /var/lib/kubelet
	mount --bind "$1/containerd" /var/lib/containerd
	mount --bind "$1/cni" /etc/cni/net.d
	mount --bind "$1/cnilib" /var/lib/cni
}

name_host() { # FOLDER NAME NUMBER
	echo "$2" >"$1/etc/hostname"
	printf '127.0.0.1 localhost\n%s %s\n' "$NET.1$3" "$2" >"$1/etc/hosts"
	echo "nameserver 127.0.0.1" >"$1/etc/resolv.conf"
	mount --bind "$1/etc/hostname" /etc/hostname
	mount --bind "$1/etc/hosts" /etc/hosts
}

network() { # NUMBER
	local other
	ip link set lo up
	sysctl -qw net.ipv4.ip_forward=1
	until_true 600 0.1 ip link show eth0
	ip addr add "$NET.1$1/24" dev eth0
	ip link set eth0 up
	ip route add default via "$NET.1"
	for ((other = 1; other <= MOST_NODES; other++)); do
		[ "$other" = "$1" ] || ip route add "10.244.$other.0/24" via "$NET.1$other"
	done
	cat >/etc/cni/net.d/10-ptp.conflist <<-JSON
		{"cniVersion": "0.4.0", "name": "test", "plugins": [
		 {"type": "ptp", "mtu": 1400, "ipMasq": false,
		  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.$1.0/24"}]],
		           "routes": [{"dst": "0.0.0.0/0"}]}},
		 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	JSON
}

containerd_config() {
	cat <<-'TOML'
		version = 2
		root = "/var/lib/containerd"
		state = "/run/containerd"
		oom_score = 0
		[grpc]
		  address = "/run/containerd/containerd.sock"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "localhost/pause:1"
		  restrict_oom_score_adj = true
		  disable_apparmor = true
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "overlayfs"
		    default_runtime_name = "runc"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        SystemdCgroup = false
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "/etc/cni/net.d"
	TOML
}

kubelet_config() { # FOLDER NAME
	cat <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		failCgroupV1: false
		cgroupDriver: cgroupfs
		cgroupsPerQOS: true
		enforceNodeAllocatable: [pods]
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
		authorization: {mode: Webhook}
		tlsCertFile: $PKI/$2.crt
		tlsPrivateKeyFile: $PKI/$2.key
		clusterDNS: [10.96.0.10]
		clusterDomain: cluster.local
		resolvConf: $1/etc/resolv.conf
		failSwapOn: false
		maxPods: 100
		maxOpenFiles: 20000
		oomScoreAdj: 0
		nodeStatusUpdateFrequency: 4s
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
		imageGCHighThresholdPercent: 100
		imageGCLowThresholdPercent: 99
		serializeImagePulls: false
		registryPullQPS: 0
		featureGates: {KubeletInUserNamespace: true}
	YAML
}

runtime() { # FOLDER NAME
	local archive
	containerd_config >"$1/containerd.toml"
	background "$2-containerd" containerd --config "$1/containerd.toml"
	until_true 300 0.2 ctr version
	for archive in "$IMAGES"/*.tar; do
		ctr -n k8s.io images import "$archive" >>"$LOG/$2-import.log" 2>&1
	done
}

# The connection tracker's limits are the machine's, so kube-proxy leaves them alone.
proxy() { # NAME NUMBER
	background "$1-kube-proxy" kube-proxy --kubeconfig "$STATE/in-kube-proxy.conf" \
		--hostname-override="$1" --proxy-mode=iptables --cluster-cidr=10.244.0.0/16 \
		--conntrack-max-per-core=0 --conntrack-min=0 \
		--conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s \
		--oom-score-adj=0 --healthz-bind-address=0.0.0.0:10256 \
		--metrics-bind-address=127.0.0.1:10249 --bind-address="$NET.1$2"
}

node() { # NAME NUMBER
	local folder=$STATE/$1
	hostname "$1"
	mount --make-rshared /
	mount_cgroups
	mask_sysctls
	mount_folders "$folder"
	name_host "$folder" "$1" "$2"
	network "$2"
	runtime "$folder" "$1"
	kubelet_config "$folder" "$1" >"$folder/kubelet.yaml"
	background "$1-kubelet" kubelet --config="$folder/kubelet.yaml" \
		--kubeconfig="$STATE/in-$1.conf" --hostname-override="$1" --node-ip="$NET.1$2" \
		--node-labels="topology.kubernetes.io/zone=z$2,topology.kubernetes.io/region=test"
	proxy "$1" "$2"
	background "$1-netpol" netpol --kubeconfig "$STATE/in-netpol.conf" --node "$1"
	reap
}
