-- A node starts chunks. Returns {state}, {"other version", why ("" when it was told before)}, or
-- {"ready", options, then for each chunk}: {"claimed" or "exhausted", failed, killed, lost, entry, its items that are over
-- where it is done item by item, else ""}, {"settled"}, {"unknown"}, {"elsewhere"} or {"apart"}.
-- KEYS: run, run:done, run:claims, run:chunks, run:attempts, run:copies, run:refusals, run:events, run:outbox, run:queued,
--       run:pieces, the queue of its label
-- ARGV: node, start, job, version, max_failed, max_killed, max_lost, retention_s, label ("": any), busy_s,
--       from the eleventh: chunks
local first = 11
for i = first, #ARGV do redis.call('SREM', KEYS[10], ARGV[i]) end
local run = redis.call('HMGET', KEYS[1], 'state', 'job', 'version', 'options', 'label')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if run[2] ~= ARGV[3] then return {'other job'} end
if run[3] ~= ARGV[4] then
  local why = 'has another version of the job: ' .. ARGV[4] .. '; the run needs ' .. run[3]
  if redis.call('HSETNX', KEYS[7], ARGV[1], why) == 1 then
    redis.call('EXPIRE', KEYS[7], ARGV[8])
    note(KEYS[8], ARGV[8], 'refused', 'node', ARGV[1], 'why', why)
    return {'other version', why}
  end
  return {'other version', ''}
end
-- By a queue of another label it reached a node that may lack what the run needs. It counts as lost there.
if ARGV[9] ~= '' and run[5] and run[5] ~= ARGV[9] then return {'other label'} end

local alone = #ARGV == first
local claim = now_ms() .. ' ' .. ARGV[2] .. ' ' .. ARGV[1]
local duplicates = 0

local function start(chunk)
  if redis.call('GETBIT', KEYS[2], chunk) == 1 then
    duplicates = duplicates + 1
    return {'settled'}
  end
  local entry = redis.call('HGET', KEYS[4], chunk)
  if not entry then return {'unknown'} end
  local failed, killed, lost = attempts_of(KEYS[5], chunk)
  local over = redis.call('HGET', KEYS[11], chunk)
  if failed >= tonumber(ARGV[5]) or killed >= tonumber(ARGV[6]) or lost >= tonumber(ARGV[7]) then
    return {'exhausted', failed, killed, lost, entry, over or ''}
  end
  -- What failed, or may have ended its process, is done by itself, so that others are not blamed for it.
  if not alone and (over or failed + killed + lost > 0) then return {'apart'} end
  -- A second copy is for another node than the one that is slow, as long as that may be at it.
  local held = redis.call('HGET', KEYS[3], chunk)
  if held and redis.call('HGET', KEYS[6], chunk) == ARGV[1] then
    local since_ms, start = string.match(held, '^(%d+) (%S+) ')
    if start == ARGV[2] and now_ms() - since_ms < ARGV[10] * 1000 then return {'elsewhere'} end
  end
  redis.call('HDEL', KEYS[3], chunk) -- first what needs no memory: then a full Redis takes what follows, too
  redis.call('HSET', KEYS[3], chunk, claim)
  return {'claimed', failed, killed, lost, entry, over or ''}
end

local answer = {'ready', run[4]}
for i = first, #ARGV do answer[#answer + 1] = start(ARGV[i]) end
redis.call('EXPIRE', KEYS[3], ARGV[8])
if duplicates > 0 then redis.call('HINCRBY', KEYS[1], 'duplicates', duplicates) end
feed(KEYS[1], KEYS[9], KEYS[10], KEYS[3], ARGV[8])
return answer
