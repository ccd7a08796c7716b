"""Who may use the page: users with their roles, one-time links and the sessions that these begin; links to runs.

All is in Redis. Of links and sessions Redis keeps the sha256 of the secret alone: somebody who reads Redis cannot
enter with it.
"""
