"""What is watched, told, pruned: on real Postgres and RabbitMQ."""
