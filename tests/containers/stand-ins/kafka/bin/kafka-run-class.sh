#!/bin/bash
# kafka-run-class.sh CLASS ARG...: one of Kafka's main classes.
set -euo pipefail
log=${KAFKA_LOG4J_OPTS:--Dlog4j.configuration=file:/opt/kafka/config/log4j.properties}
jars=$(printf '%s\n' /opt/kafka/libs/*.jar | paste -sd:)
# shellcheck disable=SC2086 # lists of options
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC -XX:TieredStopAtLevel=1} \
	-XX:-UsePerfData -Djava.awt.headless=true $log ${KAFKA_OPTS:-} -cp "$jars" "$@"
