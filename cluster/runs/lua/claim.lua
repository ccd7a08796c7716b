-- A node starts a chunk. Returns {state}, {"other version", why ("" when it was told before)},
-- {"exhausted", failed, killed, lost, entry} or {"claimed", failed, entry, options}.
-- KEYS: run, run:done, run:claims, run:chunks, run:attempts, run:copies, run:refusals, run:events
-- ARGV: chunk, node, start, job, version, max_failed, max_killed, max_lost, retention_s, label ("": any)
local run = redis.call('HMGET', KEYS[1], 'state', 'job', 'version', 'options', 'label')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if run[2] ~= ARGV[4] then return {'other job'} end
if run[3] ~= ARGV[5] then
  local why = 'has another version of the job: ' .. ARGV[5] .. '; the run needs ' .. run[3]
  if redis.call('HSETNX', KEYS[7], ARGV[2], why) == 1 then
    redis.call('EXPIRE', KEYS[7], ARGV[9])
    note(KEYS[8], ARGV[9], 'refused', 'node', ARGV[2], 'why', why)
    return {'other version', why}
  end
  return {'other version', ''}
end
-- By a queue of another label it reached a node that may lack what the run needs. It counts as lost there.
if ARGV[10] ~= '' and run[5] and run[5] ~= ARGV[10] then return {'other label'} end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'settled'}
end
local entry = redis.call('HGET', KEYS[4], ARGV[1])
if not entry then return {'unknown'} end
local failed, killed, lost = attempts_of(KEYS[5], ARGV[1])
if failed >= tonumber(ARGV[6]) or killed >= tonumber(ARGV[7]) or lost >= tonumber(ARGV[8]) then
  return {'exhausted', failed, killed, lost, entry}
end
-- A second copy is for another node than the one that is slow.
local claim = redis.call('HGET', KEYS[3], ARGV[1])
if claim and string.match(claim, '^%d+ (%S+) ') == ARGV[3] and redis.call('HEXISTS', KEYS[6], ARGV[1]) == 1 then
  return {'elsewhere'}
end
redis.call('HDEL', KEYS[3], ARGV[1]) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HSET', KEYS[3], ARGV[1], now_ms() .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[9])
return {'claimed', failed, entry, run[4]}
