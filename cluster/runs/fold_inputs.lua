-- A node starts a fold. Returns {state}, {"incomplete"}, {"folded"}, {"busy"} (another start of it is under way),
-- {"lost"} (a part is gone), {"exhausted", attempts} or {"ready", name, entry, name, entry, ...}.
-- KEYS: run, run:done, run:windows, run:parts:W, run:folds, run:claims
-- ARGV: level, number, fan_in, job, again ("1": an earlier start failed), max_attempts, busy_s, retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'job')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
if run[2] ~= ARGV[4] then return {'other job'} end
local level, number = tonumber(ARGV[1]), tonumber(ARGV[2])
local name = level .. ':' .. number
if redis.call('HEXISTS', KEYS[5], name) == 1 then return {'folded'} end
local answer = {'ready'}
if level == 0 then
  local window = redis.call('HGET', KEYS[3], number)
  if not window then return {'folded'} end
  local first, count = string.match(window, '^(%d+) (%d+)$')
  for chunk = first, first + count - 1 do
    if redis.call('GETBIT', KEYS[2], chunk) == 0 then return {'incomplete'} end
  end
  local rows = redis.call('HGETALL', KEYS[4])
  if #rows ~= count * 2 then return {'lost'} end
  for _, value in ipairs(rows) do answer[#answer + 1] = value end
else
  for child = number * ARGV[3], (number + 1) * ARGV[3] - 1 do
    local entry = redis.call('HGET', KEYS[5], (level - 1) .. ':' .. child)
    -- A child is taken away only together with all its siblings, by the fold that joined them.
    if not entry then return {'incomplete'} end
    answer[#answer + 1] = (level - 1) .. ':' .. child
    answer[#answer + 1] = entry
  end
end
local now = redis.call('TIME')
local claim = redis.call('HGET', KEYS[6], 'fold ' .. name)
local attempt = 1
if claim then
  local before, since = string.match(claim, '^(%d+) (%d+)')
  if ARGV[5] == '0' and now[1] - since < tonumber(ARGV[7]) then return {'busy'} end
  attempt = before + 1
end
if attempt > tonumber(ARGV[6]) then return {'exhausted', attempt - 1} end
redis.call('HSET', KEYS[6], 'fold ' .. name, attempt .. ' ' .. now[1])
redis.call('EXPIRE', KEYS[6], ARGV[8])
return answer
