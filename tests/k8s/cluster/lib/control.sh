# shellcheck shell=bash
# control.sh - the control plane; runs as pid 1 of namespaces of its own.

etcd() {
	local clients=http://127.0.0.1:2379 peers=http://127.0.0.1:2380
	# A test cluster is thrown away, so nothing has to survive a power cut.
	background etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync \
		--listen-client-urls "$clients" --advertise-client-urls "$clients" \
		--listen-peer-urls "$peers" --initial-advertise-peer-urls "$peers" \
		--initial-cluster "default=$peers"
}

api_server() {
	background kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
		--bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$NET.1" \
		--service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true \
		--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
		--client-ca-file=ca.crt --tls-cert-file=apiserver.crt --tls-private-key-file=apiserver.key \
		--kubelet-client-certificate=apiserver-kubelet.crt \
		--kubelet-client-key=apiserver-kubelet.key --kubelet-certificate-authority=ca.crt \
		--kubelet-preferred-address-types=InternalIP \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local \
		--service-account-key-file=sa.pub --service-account-signing-key-file=sa.key \
		--requestheader-client-ca-file=front.crt \
		--requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User \
		--requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- \
		--proxy-client-cert-file=frontclient.crt --proxy-client-key-file=frontclient.key \
		--enable-aggregator-routing=true --profiling=false
}

# Which kubeconfig a part of the control plane uses, in all three places.
as_user() { echo "--kubeconfig=$STATE/in-$1.conf --authentication-kubeconfig=$STATE/in-$1.conf --authorization-kubeconfig=$STATE/in-$1.conf"; }

# Intervals of the autoscaler are shortened, so that a test sees it go up and down in minutes.
controllers() {
	local user
	read -ra user <<<"$(as_user kube-controller-manager)"
	background kube-controller-manager kube-controller-manager "${user[@]}" \
		--leader-elect=false --use-service-account-credentials \
		--service-account-private-key-file=sa.key --root-ca-file=ca.crt \
		--cluster-signing-cert-file=ca.crt --cluster-signing-key-file=ca.key \
		--client-ca-file=ca.crt --requestheader-client-ca-file=front.crt \
		--horizontal-pod-autoscaler-sync-period=5s \
		--horizontal-pod-autoscaler-downscale-stabilization=20s \
		--horizontal-pod-autoscaler-cpu-initialization-period=20s \
		--horizontal-pod-autoscaler-initial-readiness-delay=5s --node-monitor-grace-period=20s
}

scheduler() {
	local user
	read -ra user <<<"$(as_user kube-scheduler)"
	background kube-scheduler kube-scheduler "${user[@]}" --leader-elect=false
}

control_plane() {
	local admin=(kubectl --kubeconfig "$STATE/in-admin.conf")
	hostname ctl
	mount --make-rprivate /
	mount -t tmpfs tmpfs /run
	ip link set lo up
	sysctl -qw net.ipv4.ip_forward=1
	ip link add br0 type bridge
	ip addr add "$NET.1/24" dev br0
	ip link set br0 up
	cd "$PKI" || exit
	etcd
	api_server
	until_true 600 0.5 "${admin[@]}" get --raw /readyz
	controllers
	scheduler
	"${admin[@]}" apply --server-side -f "$SOURCE/kube/base.yaml" >>"$LOG/base.log" 2>&1 &&
		touch "$STATE/control.ready"
	reap
}

# As pid 1: wait for whatever ends.
reap() {
	while :; do
		wait -n || true
		sleep 1
	done
}
