"""What the cluster serves in real time: the state of services and of their replicas, and who may ask."""
