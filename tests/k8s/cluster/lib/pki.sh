# shellcheck shell=bash
# pki.sh - certificates and kubeconfigs, made once for each state folder.

authority() { # FILE NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-subj "/CN=$2" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}

certificate() { # FILE AUTHORITY SUBJECT [NAMES]
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" \
		-keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null
	printf 'keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' \
		"${4:+subjectAltName=$4}" >"$PKI/$1.ext"
	openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/$2.crt" -CAkey "$PKI/$2.key" -CAcreateserial \
		-days 3650 -extfile "$PKI/$1.ext" -out "$PKI/$1.crt" 2>/dev/null
}

embedded() { base64 -w0 "$PKI/$1"; }

kubeconfig() { # FILE CERTIFICATE SERVER
	cat >"$1" <<-YAML
		apiVersion: v1
		kind: Config
		clusters: [{name: test, cluster: {server: "$3", certificate-authority-data: "$(embedded ca.crt)"}}]
		users: [{name: user, user: {client-certificate-data: "$(embedded "$2.crt")", client-key-data: "$(embedded "$2.key")"}}]
		contexts: [{name: test, context: {cluster: test, user: user}}]
		current-context: test
	YAML
}

api_names() {
	local name names=DNS:localhost
	for name in kubernetes{,.default,.default.svc,.default.svc.cluster.local}; do
		names+=,DNS:$name
	done
	echo "$names,IP:10.96.0.1,IP:$NET.1,IP:127.0.0.1"
}

pki() {
	local name i
	[ -e "$PKI/done" ] && return
	mkdir -p "$PKI"
	chmod 700 "$STATE" "$PKI"
	authority ca kubernetes-ca
	authority front front-proxy-ca
	certificate apiserver ca /CN=kube-apiserver "$(api_names)"
	certificate apiserver-kubelet ca /O=system:masters/CN=apiserver-kubelet
	certificate frontclient front /CN=front-proxy-client
	certificate admin ca /O=system:masters/CN=admin
	for name in kube-controller-manager kube-scheduler kube-proxy; do
		certificate "$name" ca "/CN=system:$name"
	done
	certificate netpol ca /CN=test:netpol
	for ((i = 1; i <= MOST_NODES; i++)); do
		certificate "n$i" ca "/O=system:nodes/CN=system:node:n$i" "DNS:n$i,IP:$NET.1$i"
	done
	openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
	openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
	for name in admin kube-controller-manager kube-scheduler kube-proxy netpol n1 n2 n3 n4; do
		kubeconfig "$STATE/in-$name.conf" "$name" "https://$NET.1:6443"
	done
	kubeconfig "$STATE/admin.conf" admin "https://127.0.0.1:$K8S_PORT"
	touch "$PKI/done"
}
