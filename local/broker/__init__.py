"""The embedded broker: topics and push subscriptions with Pub/Sub's delivery rules, durable on one SQLite file."""
