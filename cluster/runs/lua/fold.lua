-- Commit a fold and take away what it joined; the first one wins. The last window's fold ends the run.
-- Returns "folded now", "family complete" (all siblings are there: fold them), "folded", or the run's state.
-- KEYS: run, run:windows, run:parts:W, run:folds, run:claims, run:attempts, run:events, run:failures, run:expected
-- ARGV: level, number, entry, fan_in, retention_s, words that follow about chunks whose parts cannot be used, for each of
--       these: chunk, why, number of items, item, ...; then what it joined: chunks, or folds as "level:number"
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
local level, number, fan_in = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local inputs = 7 + ARGV[6]
if level == 0 then
  -- A window's row goes with its fold, so a late second fold finds none, also after it was folded upwards. After Redis
  -- has lost its last moments a window may be entered anew, with fewer or more chunks than were joined.
  if redis.call('HGET', KEYS[2], number) ~= ARGV[inputs] .. ' ' .. #ARGV - inputs + 1 then return 'folded' end
  redis.call('HDEL', KEYS[2], number)
  redis.call('UNLINK', KEYS[3])
  for i = inputs, #ARGV do redis.call('HDEL', KEYS[9], ARGV[i]) end
  local at = 7
  while at < inputs do
    note(KEYS[7], ARGV[5], 'set-aside', 'chunk', ARGV[at], 'why', ARGV[at + 1])
    local last = at + 2 + ARGV[at + 2]
    for i = at + 3, last do redis.call('HSETNX', KEYS[8], ARGV[i], ARGV[at + 1]) end
    at = last + 1
  end
  if inputs > 7 then redis.call('EXPIRE', KEYS[8], ARGV[5]) end
  redis.call('HINCRBY', KEYS[1], 'windows_folded', 1)
else
  -- All or none: one that was forgotten will be folded again, and must not count twice.
  for i = inputs, #ARGV do
    if redis.call('HEXISTS', KEYS[4], ARGV[i]) == 0 then return 'folded' end
  end
  for i = inputs, #ARGV do redis.call('HDEL', KEYS[4], ARGV[i]) end
end
for _, key in ipairs({KEYS[5], KEYS[6]}) do redis.call('HDEL', key, 'fold ' .. level .. ':' .. number) end
redis.call('HSET', KEYS[4], level .. ':' .. number, ARGV[3])
redis.call('EXPIRE', KEYS[4], ARGV[5])
local run = redis.call('HMGET', KEYS[1], 'windows_folded', 'windows_total')
if run[2] and run[1] == run[2] then
  finish(KEYS[1], KEYS[7], ARGV[5], 'done', '')
  return 'folded now'
end
local eldest = number - number % fan_in
for sibling = eldest, eldest + fan_in - 1 do
  if redis.call('HEXISTS', KEYS[4], level .. ':' .. sibling) == 0 then return 'folded now' end
end
return 'family complete'
