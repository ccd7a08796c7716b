-- A node gives chunks back without an attempt, as it cannot do them; their messages are to come again. Returns 1 if the
-- run's history tells of it now, 0 if this node rejected the run before, or the run is gone.
-- KEYS: run rejections events claims queued
-- ARGV: node incarnation why chunks...
if not redis.call('HGET', K.run, 'state') then return 0 end
for i = FIRST, #ARGV do release_claim(K.run, K.claims, K.queued, A.incarnation, ARGV[i], true) end
if redis.call('HSETNX', K.rejections, A.node, A.why) == 0 then return 0 end
local retention_s = retention_of(K.run)
redis.call('EXPIRE', K.rejections, retention_s)
note(K.events, retention_s, 'rejected', 'node', A.node, 'why', A.why)
return 1
