#!/bin/bash
export KAFKA_LOG4J_OPTS=${KAFKA_LOG4J_OPTS:--Dlog4j.configuration=file:/opt/kafka/bin/tools-log4j.properties}
exec /opt/kafka/bin/kafka-run-class.sh kafka.tools.StorageTool "$@"
