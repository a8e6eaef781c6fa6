"""The events that Tailrace sends and reads: schemas, topics and the documents made from them."""
