"""Tailrace: a reverse ETL platform on PostgreSQL and Kafka."""
