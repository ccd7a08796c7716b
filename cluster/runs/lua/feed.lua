-- A run's coordinator tells of the slots there are for it; messages go from its outbox to the queue accordingly.
-- Returns {"fenced"} (the lease is another's), or {the run's state, then the label of each other run with chunks that wait}.
-- A run that is over has no outbox: what was still put there goes.
-- KEYS: run, run:outbox, run:queued, run:claims, cluster:waiting, the other runs, and the queue of its label
-- ARGV: fence, its share of the slots, all slots that serve it, how long that holds in ms, retention_s
local state = redis.call('HMGET', KEYS[1], 'state', 'fence')
if state[1] ~= 'running' then
  redis.call('UNLINK', KEYS[2], KEYS[3])
  return {state[1] or 'unknown'}
end
if state[2] ~= ARGV[1] then return {'fenced'} end
local now, run = now_ms(), id_of(KEYS[1])
local until_ms = string.format('%.0f', now + ARGV[4])
by_score(KEYS[5], '-inf', '+inf', 'LIMIT', 0, 1) -- it is a sorted set from here on
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now) -- first what needs no memory: then a full Redis takes the rest, too
redis.call('ZREMRANGEBYSCORE', KEYS[5], '(' .. until_ms, '+inf') -- forged, or by a clock that was set back since
redis.call('HSET', KEYS[1], 'share', ARGV[2], 'slots', ARGV[3], 'share_until_ms', until_ms)
feed(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[5])
if redis.call('LLEN', KEYS[2]) + redis.call('SCARD', KEYS[3]) > 0 then
  redis.call('ZADD', KEYS[5], until_ms, run)
  redis.call('PEXPIRE', KEYS[5], ARGV[4])
else
  redis.call('ZREM', KEYS[5], run)
end
local answer = {'running'}
for _, other in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
  local label = other ~= run and redis.pcall('HGET', RUN .. other, 'label') -- anybody may have written its name
  if type(label) == 'string' then answer[#answer + 1] = label end
end
return answer
