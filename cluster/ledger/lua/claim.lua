-- A node starts chunks. Returns {state}, {"other capability"}, {"paused"} (its message may go), or {"ready", job, version,
-- options, policy, then for each chunk}: {"claimed" or "exhausted", failed, killed, lost, entry, its items that are over
-- where it is done item by item, else ""}, {"settled"}, {"unknown"}, {"taken"} (of a run in rounds: it is under way),
-- {"elsewhere"}, {"other place"} or {"apart"}.
-- KEYS: run done claims chunks attempts speculative outbox queued pieces stays late places
-- ARGV: node incarnation capability places max_killed max_lost chunks...
--   capability: "" for any
--   places: those that the node names, each between spaces
for i = FIRST, #ARGV do redis.call('SREM', K.queued, ARGV[i]) end
local run = redis.call('HMGET', K.run, 'state', 'requirement', 'job', 'version', 'options', 'max_attempts', 'time_limit_s',
  'retention_s', 'round', 'paused', unpack(POLICY))
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
-- The search for lost messages brings it back once the run goes on.
if run[10] then return {'paused'} end
-- By a queue of another capability it reached a node that may lack what the run needs. It counts as lost there.
if A.capability ~= '' and run[2] and run[2] ~= A.capability then return {'other capability'} end
local max_attempts, busy_ms = tonumber(run[6]) or 1, 1000 * (tonumber(run[7]) or 0)

local alone = #ARGV == FIRST
local claim = now_ms() .. ' ' .. A.incarnation .. ' ' .. A.node
local duplicates = 0

-- Slots that stay claim chunks of a round whose messages may still be on their way. A message that comes to the node of its
-- claim again was handed back by it.
local function is_taken(chunk, incarnation)
  if incarnation ~= A.incarnation then return true end
  for _, stayed_for in ipairs(redis.call('HVALS', K.stays)) do
    if stayed_for == tostring(chunk) then return true end
  end
  return false
end

local function start(chunk)
  if redis.call('GETBIT', K.done, chunk) == 1 then
    -- What is late may come for the first time: its round was closed before any node began it.
    if redis.call('SISMEMBER', K.late, chunk) == 0 then duplicates = duplicates + 1 end
    return {'settled'}
  end
  local entry = redis.call('HGET', K.chunks, chunk)
  if not entry then return {'unknown'} end
  -- Only there are the bytes that it needs, or the nodes with which it is done.
  local place = run[9] and redis.call('HGET', K.places, chunk)
  if place and not string.find(A.places, ' ' .. place .. ' ', 1, true) then
    redis.call('SADD', K.queued, chunk) -- its message comes again: until then it waits for a slot, as others are told
    redis.call('EXPIRE', K.queued, tonumber(run[8]) or LEAST_S)
    return {'other place'}
  end
  local failed, killed, lost = attempts_of(K.attempts, chunk)
  local over = redis.call('HGET', K.pieces, chunk)
  if failed >= max_attempts or killed >= tonumber(A.max_killed) or lost >= tonumber(A.max_lost) then
    return {'exhausted', failed, killed, lost, entry, over or ''}
  end
  -- What failed, or may have ended its process, is done by itself, so that others are not blamed for it.
  if not alone and (over or failed + killed + lost > 0) then return {'apart'} end
  -- A speculative copy is for another node than the slow one, as long as that one may be at it.
  local held = redis.call('HGET', K.claims, chunk)
  if held and run[9] and is_taken(chunk, string.match(held, '^%d+ (%S+) ')) then return {'taken'} end
  if held and redis.call('HGET', K.speculative, chunk) == A.node then
    local since_ms, incarnation = string.match(held, '^(%d+) (%S+) ')
    if incarnation == A.incarnation and now_ms() - since_ms < busy_ms then return {'elsewhere'} end
  end
  redis.call('HDEL', K.claims, chunk) -- first what needs no memory: then a full Redis takes what follows, too
  redis.call('HSET', K.claims, chunk, claim)
  return {'claimed', failed, killed, lost, entry, over or ''}
end

local answer = {'ready', run[3], run[4], run[5], cjson.encode({unpack(run, 11)})}
for i = FIRST, #ARGV do answer[#answer + 1] = start(ARGV[i]) end
redis.call('EXPIRE', K.claims, tonumber(run[8]) or LEAST_S)
if duplicates > 0 then redis.call('HINCRBY', K.run, 'duplicates', duplicates) end
feed(K.run, K.outbox, K.queued, K.claims)
return answer
