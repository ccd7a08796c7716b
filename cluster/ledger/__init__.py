"""The truth about runs, in Redis. Nothing but this room touches a run's keys."""
