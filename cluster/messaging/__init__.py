"""How the work of a run travels between machines, on top of Celery and kombu."""
