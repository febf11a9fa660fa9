# shellcheck shell=bash
# build.sh - packages, the binary, the images that the cluster itself needs.

KUBERNETES=v1.35.4
PARTS="etcd coredns kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet
	metrics-server kubectl netpol"
PACKAGES=(containerd runc containernetworking-plugins iptables nftables socat conntrack iproute2
	ipset openssl gcc libc6-dev python3 util-linux)

packages() {
	local package missing=()
	for package in "${PACKAGES[@]}"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
			missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
		--no-install-recommends "${missing[@]}"
}

# metrics-server 0.9.0 is generated for Kubernetes 1.36: the one type that 1.35 lacks is taken out.
patched_metrics_server() {
	local from
	from=$(go mod download -json sigs.k8s.io/metrics-server@v0.9.0 |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
	cp -r "$from" "$K8S_DIR/src/ms"
	chmod -R u+w "$K8S_DIR/src/ms"
	python3 "$SOURCE/patch-metrics-server.py" "$K8S_DIR/src/ms"
}

binary() (
	export GOFLAGS="-trimpath -buildvcs=false" GOTOOLCHAIN=local CGO_ENABLED=0
	version=k8s.io/component-base/version
	flags="-s -w -X $version.gitVersion=$KUBERNETES -X $version.gitCommit=$KUBERNETES"
	flags+=" -X $version.gitMajor=1 -X $version.gitMinor=35 -X $version.gitTreeState=archive"
	flags+=" -X $version.buildDate=2026-01-01T00:00:00Z"
	rm -rf "$K8S_DIR/src"
	mkdir -p "$K8S_DIR/src"
	cp -r "$SOURCE/hyper" "$K8S_DIR/src/hyper"
	cd "$K8S_DIR/src/hyper" || exit
	patched_metrics_server
	go build -p 2 -tags providerless -ldflags "$flags" -o "$BIN/hyper.new" .
	mv "$BIN/hyper.new" "$BIN/hyper"
)

# What the binary was built from: built again when that changes.
fingerprint() {
	cat "$SOURCE"/hyper/* "$SOURCE/patch-metrics-server.py" | sha256sum | cut -d' ' -f1
}

build() {
	local part want
	packages
	want=$(fingerprint)
	if [ ! -x "$BIN/hyper" ] || [ "$(cat "$BIN/hyper.from" 2>/dev/null)" != "$want" ]; then
		binary
		echo "$want" >"$BIN/hyper.from"
	fi
	for part in $PARTS; do ln -sf hyper "$BIN/$part"; done
	images
}

pause_program() {
	cat <<-'C'
		#include <signal.h>
		#include <unistd.h>
		static void on_end(int sig) { (void)sig; _exit(0); }
		int main(void) { signal(SIGTERM, on_end); signal(SIGINT, on_end); for (;;) pause(); }
	C
}

images() {
	mkdir -p "$IMAGES"
	if [ ! -s "$IMAGES/pause.tar" ]; then
		pause_program | gcc -Os -static -x c -o "$K8S_DIR/pause" -
		"$SOURCE/mkimage.py" "$IMAGES/pause.tar" localhost/pause:1 /pause "$K8S_DIR/pause=/pause"
	fi
	if [ ! "$IMAGES/hyper.tar" -nt "$BIN/hyper" ]; then
		"$SOURCE/mkimage.py" "$IMAGES/hyper.tar" localhost/hyper:1 /hyper "$BIN/hyper=/hyper"
	fi
}
