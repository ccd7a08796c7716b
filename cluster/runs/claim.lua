-- A node starts a chunk. Returns {state}, {"exhausted", attempts, entry, claim} or {"claimed", attempt, entry, options}.
-- KEYS: run, run:done, run:claims, run:chunks
-- ARGV: chunk, node, max_attempts, job, again ("1": an earlier start failed; "0": perhaps a mere repeat), retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'job', 'options')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if run[2] ~= ARGV[4] then return {'other job'} end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'settled'}
end
local entry = redis.call('HGET', KEYS[4], ARGV[1])
if not entry then return {'unknown'} end
local claim = redis.call('HGET', KEYS[3], ARGV[1])
local attempt = 1
if claim then
  attempt = tonumber(string.match(claim, '^%d+'))
  -- A message that was merely sent twice must not use up the attempts of the one that is being worked on.
  if ARGV[5] == '1' then attempt = attempt + 1 end
end
if attempt > tonumber(ARGV[3]) then return {'exhausted', attempt - 1, entry, claim or ''} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[3], ARGV[1], attempt .. ' ' .. now[1] .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[6])
return {'claimed', attempt, entry, run[3]}
