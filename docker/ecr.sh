# shellcheck shell=bash disable=SC2154 # whoever sources it sets region and registry
# For docker/push and docker/retag, after lib.sh: ECR's addresses, and what it has.

# Prints the command with --dry-run, else runs it.
run() {
	if [ -n "${dry:-}" ]; then printf '%s\n' "$*"; else "$@"; fi
}

# The region that is part of the address of a registry of ECR.
region_of() { # REGISTRY
	[ -n "$1" ] || fail "which --registry?"
	[[ $1 =~ ^[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$ ]] || fail "$1 is no ECR registry"
	echo "${BASH_REMATCH[1]}"
}

# ECR rewrites a manifest into a form that is accepted, with another digest.  These are what docker and podman push.
FORMS=(application/vnd.docker.distribution.manifest.v2+json application/vnd.oci.image.manifest.v1+json
	application/vnd.docker.distribution.manifest.list.v2+json application/vnd.oci.image.index.v1+json)

# Of the images in $registry, which is in $region.
ecr() { # COMMAND NAME ARGUMENTS...
	run aws ecr "$1" --region "$region" --registry-id "${registry%%.*}" --repository-name "shop/$2" "${@:3}"
}

ask_ecr() { # NAME IMAGE-ID QUERY
	dry='' ecr batch-get-image "$1" --image-ids "$2" --accepted-media-types "${FORMS[@]}" --query "$3" --output text
}

# Nothing if there is no such tag.
digest_of() { # NAME TAG
	local said
	said=$(ask_ecr "$1" "imageTag=$2" 'images[0].imageId.imageDigest || failures[0].failureCode')
	case $said in
	sha256:*) echo "$said" ;;
	ImageNotFound) ;;
	*) fail "ECR does not tell what shop/$1:$2 is${said:+: $said}" ;;
	esac
}
