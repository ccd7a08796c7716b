-- A node starts a chunk. Returns {state} or {"claimed", attempt, entry, job, options}.
-- KEYS: run, run:done, run:claims, run:chunks
-- ARGV: chunk, node, max_attempts
local run = redis.call('HMGET', KEYS[1], 'state', 'job', 'options')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'settled'}
end
local entry = redis.call('HGET', KEYS[4], ARGV[1])
if not entry then return {'unknown'} end
local claim = redis.call('HGET', KEYS[3], ARGV[1])
local attempt = 1
if claim then attempt = tonumber(string.match(claim, '^%d+')) + 1 end
local now = redis.call('TIME')
if attempt > tonumber(ARGV[3]) then return {'exhausted', attempt - 1, entry, claim or ''} end
redis.call('HSET', KEYS[3], ARGV[1], attempt .. ' ' .. now[1] .. ' ' .. ARGV[2])
return {'claimed', attempt, entry, run[2], run[3]}
