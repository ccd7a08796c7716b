"""The gateway: it answers HTTP requests with what the replicas of a service give, by way of Redis."""
