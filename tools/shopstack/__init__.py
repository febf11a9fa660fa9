"""The local stack: MariaDB, Kafka, the seven programs, nginx and a mail sink in one folder."""
