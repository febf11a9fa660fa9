# shellcheck shell=bash disable=SC2034 # whoever sources it uses them
# For docker/images, docker/push and docker/retag: the images' names and the engine.

PROGRAMS=(gateway user-svc product-svc order-svc notify-svc analytics-svc processor)
# What runs in production; the demo images and the third-party ones are for laptops and tests.
SHIPPED=("${PROGRAMS[@]}" frontend)
DEMO=(mail-sink demo-data)
# What the local overlay names besides, and what the frontend starts FROM, by their names in tests/containers/stand-in.
THIRD_PARTY=(mysql kafka nginx-unprivileged)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
	say "$*"
	exit 1
}

# docker where its engine answers, else podman by tests/containers/engine.
choose_engine() {
	ENGINE=${CONTAINER_ENGINE:-}
	[ -n "$ENGINE" ] && return
	ENGINE=podman
	if command -v docker >/dev/null && docker version >/dev/null 2>&1; then ENGINE=docker; fi
}

engine() { # a command that docker and podman share
	case $ENGINE in
	docker) docker "$@" ;;
	*) tests/containers/engine podman "$@" ;;
	esac
}
