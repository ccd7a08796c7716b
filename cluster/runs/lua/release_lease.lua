-- Let go of a run's lease, so that the next one need not wait for it to run out.
-- KEYS: run
-- ARGV: fence
if redis.call('HGET', KEYS[1], 'fence') == ARGV[1] then redis.call('HDEL', KEYS[1], 'coordinator', 'lease_until_ms', 'role') end
