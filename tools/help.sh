# shellcheck shell=bash
# For scripts whose arguments need no parser: `. tools/help.sh "$@"` answers --help with the comment at their top.
case ${1-} in
-h | --help)
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit
	;;
esac
