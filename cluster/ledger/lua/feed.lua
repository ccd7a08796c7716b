-- A run's coordinator tells of the slots there are for it; messages go from its outbox to the queue accordingly.
-- Returns {"fenced"} (the lease is another's), or {the run's state, then the requirements of other runs with chunks that wait}.
-- A run that is over has no outbox: what was still put there goes.
-- KEYS: run outbox queued claims waiting
-- ARGV: fence share slots share_ms
--   share: of the slots; slots: all that serve it; share_ms: how long both hold
local state = redis.call('HMGET', K.run, 'state', 'fence')
if state[1] ~= 'running' then
  redis.call('UNLINK', K.outbox, K.queued)
  return {state[1] or 'unknown'}
end
if state[2] ~= A.fence then return {'fenced'} end
local now, run = now_ms(), id_of(K.run)
local until_ms = string.format('%.0f', now + A.share_ms)
by_score(K.waiting, '-inf', '+inf', 'LIMIT', 0, 1) -- it is a sorted set from here on
redis.call('ZREMRANGEBYSCORE', K.waiting, '-inf', now) -- first what needs no memory: then a full Redis takes the rest, too
redis.call('ZREMRANGEBYSCORE', K.waiting, '(' .. until_ms, '+inf') -- forged, or by a clock that was set back since
redis.call('HSET', K.run, 'share', A.share, 'slots', A.slots, 'share_until_ms', until_ms)
feed(K.run, K.outbox, K.queued, K.claims)
if redis.call('LLEN', K.outbox) + redis.call('SCARD', K.queued) > 0 then
  redis.call('ZADD', K.waiting, until_ms, run)
  redis.call('PEXPIRE', K.waiting, A.share_ms)
else
  redis.call('ZREM', K.waiting, run)
end
local answer = {'running'}
for _, other in ipairs(redis.call('ZRANGE', K.waiting, 0, -1)) do
  local requirement = other ~= run and redis.pcall('HGET', RUN .. other, 'requirement') -- anybody may write its name
  if type(requirement) == 'string' then answer[#answer + 1] = requirement end
end
return answer
