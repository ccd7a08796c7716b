-- A node starts to aggregate. Returns {state}, {"incomplete"}, {"aggregated"}, {"busy"} (another attempt is under way),
-- {"lost"} (a part is gone), {"exhausted", failed, killed, lost} or {"ready", job, version, options, policy as JSON, failed,
-- then for each: name, entry, what is expected of it ("" of a partial)}.
-- KEYS: run done batches parts partials claims attempts expected
-- ARGV: level number fan_in capability incarnation node max_killed max_lost
--   capability: "" for any
local run = redis.call('HMGET', K.run, 'state', 'requirement', 'job', 'version', 'options', 'max_attempts', 'time_limit_s',
  'retention_s', unpack(POLICY))
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if A.capability ~= '' and run[2] and run[2] ~= A.capability then return {'other capability'} end
local level, number = tonumber(A.level), tonumber(A.number)
local name = level .. ':' .. number
if redis.call('HEXISTS', K.partials, name) == 1 then return {'aggregated'} end
local failed, killed, lost = attempts_of(K.attempts, 'partial ' .. name)
local answer = {'ready', run[3], run[4], run[5], cjson.encode({unpack(run, 9)}), failed}
if level == 0 then
  local batch = redis.call('HGET', K.batches, number)
  if not batch then return {'aggregated'} end
  local first, count, trigger = batch_of(batch)
  if trigger == 'driver' then return {'incomplete'} end -- no node joins the parts of a round
  for chunk = first, first + count - 1 do
    if redis.call('GETBIT', K.done, chunk) == 0 then return {'incomplete'} end
  end
  for chunk = first, first + count - 1 do
    local entry = redis.call('HGET', K.parts, chunk)
    if not entry then return {'lost'} end
    answer[#answer + 1] = tostring(chunk)
    answer[#answer + 1] = entry
    answer[#answer + 1] = redis.call('HGET', K.expected, chunk) or ''
  end
else
  for child = number * A.fan_in, (number + 1) * A.fan_in - 1 do
    local entry = redis.call('HGET', K.partials, (level - 1) .. ':' .. child)
    -- A child is taken away only together with all its siblings, by the partial that joined them.
    if not entry then return {'incomplete'} end
    answer[#answer + 1] = (level - 1) .. ':' .. child
    answer[#answer + 1] = entry
    answer[#answer + 1] = ''
  end
end
if failed >= (tonumber(run[6]) or 1) or killed >= tonumber(A.max_killed) or lost >= tonumber(A.max_lost) then
  return {'exhausted', failed, killed, lost}
end
local claim = redis.call('HGET', K.claims, 'partial ' .. name)
if claim and now_ms() - string.match(claim, '^%d+') < 1000 * (tonumber(run[7]) or 0) then return {'busy'} end
redis.call('HDEL', K.claims, 'partial ' .. name) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HSET', K.claims, 'partial ' .. name, now_ms() .. ' ' .. A.incarnation .. ' ' .. A.node)
redis.call('EXPIRE', K.claims, tonumber(run[8]) or LEAST_S)
return answer
