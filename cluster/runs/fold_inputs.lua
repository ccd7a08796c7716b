-- What a fold joins. Returns {state}, {"incomplete"}, {"folded"} or {"ready", job, options, name, entry, name, entry, ...}.
-- KEYS: run, run:done, run:windows, run:parts:W, run:folds
-- ARGV: level, number, fan_in
local run = redis.call('HMGET', KEYS[1], 'state', 'job', 'options')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
local level, number = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('HEXISTS', KEYS[5], level .. ':' .. number) == 1 then return {'folded'} end
local answer = {'ready', run[2], run[3]}
if level == 0 then
  local window = redis.call('HGET', KEYS[3], number)
  if not window then return {'folded'} end
  local first, count = string.match(window, '^(%d+) (%d+)$')
  for chunk = first, first + count - 1 do
    if redis.call('GETBIT', KEYS[2], chunk) == 0 then return {'incomplete'} end
  end
  for _, value in ipairs(redis.call('HGETALL', KEYS[4])) do answer[#answer + 1] = value end
else
  for child = number * ARGV[3], (number + 1) * ARGV[3] - 1 do
    local name = (level - 1) .. ':' .. child
    local entry = redis.call('HGET', KEYS[5], name)
    -- A child is taken away only together with all its siblings, by the fold that joined them.
    if not entry then return {'incomplete'} end
    answer[#answer + 1] = name
    answer[#answer + 1] = entry
  end
end
return answer
