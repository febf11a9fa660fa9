#!/bin/bash
# kafka-server-start.sh PROPERTIES: the broker.
set -euo pipefail
export KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}
archive=/opt/kafka/kafka.jsa
export KAFKA_OPTS="${KAFKA_OPTS:-} -XX:SharedArchiveFile=$archive -Xlog:cds=off -Xlog:cds+dynamic=off"
exec /opt/kafka/bin/kafka-run-class.sh kafka.Kafka "$@"
