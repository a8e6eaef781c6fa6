"""How Tailrace carries events: one contract, Kafka or memory behind it, and the outbox relay."""
