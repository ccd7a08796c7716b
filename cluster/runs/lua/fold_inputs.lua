-- A node starts a fold. Returns {state}, {"incomplete"}, {"folded"}, {"busy"} (another start of it is under way),
-- {"lost"} (a part is gone), {"exhausted", failed, killed, lost} or {"ready", failed, then for each: name, entry, what
-- is expected of it ("" of a fold)}.
-- KEYS: run, run:done, run:windows, run:parts:W, run:folds, run:claims, run:attempts, run:expected
-- ARGV: level, number, fan_in, job, start, node, max_failed, max_killed, max_lost, busy_s, retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'job')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if run[2] ~= ARGV[4] then return {'other job'} end
local level, number = tonumber(ARGV[1]), tonumber(ARGV[2])
local name = level .. ':' .. number
if redis.call('HEXISTS', KEYS[5], name) == 1 then return {'folded'} end
local failed, killed, lost = attempts_of(KEYS[7], 'fold ' .. name)
local answer = {'ready', failed}
if level == 0 then
  local window = redis.call('HGET', KEYS[3], number)
  if not window then return {'folded'} end
  local first, count = string.match(window, '^(%d+) (%d+)$')
  for chunk = first, first + count - 1 do
    if redis.call('GETBIT', KEYS[2], chunk) == 0 then return {'incomplete'} end
  end
  for chunk = first, first + count - 1 do
    local entry = redis.call('HGET', KEYS[4], chunk)
    if not entry then return {'lost'} end
    answer[#answer + 1] = tostring(chunk)
    answer[#answer + 1] = entry
    answer[#answer + 1] = redis.call('HGET', KEYS[8], chunk) or ''
  end
else
  for child = number * ARGV[3], (number + 1) * ARGV[3] - 1 do
    local entry = redis.call('HGET', KEYS[5], (level - 1) .. ':' .. child)
    -- A child is taken away only together with all its siblings, by the fold that joined them.
    if not entry then return {'incomplete'} end
    answer[#answer + 1] = (level - 1) .. ':' .. child
    answer[#answer + 1] = entry
    answer[#answer + 1] = ''
  end
end
if failed >= tonumber(ARGV[7]) or killed >= tonumber(ARGV[8]) or lost >= tonumber(ARGV[9]) then
  return {'exhausted', failed, killed, lost}
end
local claim = redis.call('HGET', KEYS[6], 'fold ' .. name)
if claim and now_ms() - string.match(claim, '^%d+') < ARGV[10] * 1000 then return {'busy'} end
redis.call('HDEL', KEYS[6], 'fold ' .. name) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HSET', KEYS[6], 'fold ' .. name, now_ms() .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
redis.call('EXPIRE', KEYS[6], ARGV[11])
return answer
