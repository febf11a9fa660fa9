#!/bin/sh
# As the entrypoint of nginx's images does: fills /etc/nginx/templates/*.template into /etc/nginx/conf.d.
# With NGINX_ENTRYPOINT_LOCAL_RESOLVERS, NGINX_LOCAL_RESOLVERS has the name servers of /etc/resolv.conf.
set -eu
if [ -n "${NGINX_ENTRYPOINT_LOCAL_RESOLVERS:-}" ]; then
	NGINX_LOCAL_RESOLVERS=$(awk '/^nameserver/ { if ($2 ~ /:/) $2 = "[" $2 "]"; printf "%s%s", gap, $2; gap = " " }' /etc/resolv.conf)
	export NGINX_LOCAL_RESOLVERS
fi
# Only names that the environment has are replaced, so nginx's own variables stay.
# shellcheck disable=SC2016 # envsubst wants the names, not the values
names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p')
for template in /etc/nginx/templates/*.template; do
	[ -e "$template" ] || continue
	name=${template##*/}
	envsubst "$names" <"$template" >"/etc/nginx/conf.d/${name%.template}"
done
exec "$@"
