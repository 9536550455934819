"""PostgreSQL and Apache Kafka on one bare machine, without containers: for tests, measurements and a first look."""
