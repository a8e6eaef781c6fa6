"""Put on PYTHONPATH of a service, this folder breaks the Kafka library in it."""
