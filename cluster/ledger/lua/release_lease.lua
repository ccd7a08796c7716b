-- Let go of a run's lease, so that the next one need not wait for it to run out.
-- KEYS: run
-- ARGV: fence
if redis.call('HGET', K.run, 'fence') == A.fence then redis.call('HDEL', K.run, 'coordinator', 'lease_until_ms', 'role') end
