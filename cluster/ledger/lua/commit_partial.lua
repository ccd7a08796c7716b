-- Commit a partial and take away what it joined; the first one wins. The last batch's partial ends the run.
-- Returns "aggregated now", "family complete" (all siblings are there: aggregate them), "aggregated", or the run's state.
-- KEYS: run batches parts partials claims attempts events failures expected
-- ARGV: level number entry fan_in about rest...
--   about: words of the rest about chunks whose parts cannot be used, for each: chunk, why, number of items, item, ...;
--   then what it joined: chunks, or partials as "level:number"
local state = redis.call('HGET', K.run, 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
local level, number, fan_in = tonumber(A.level), tonumber(A.number), tonumber(A.fan_in)
local inputs = FIRST + A.about
local retention_s = retention_of(K.run)
if level == 0 then
  -- A batch's row goes with its partial, so a late second partial finds none, also after the first one was aggregated
  -- itself. After Redis has lost its last moments a batch may be entered anew, with fewer or more chunks.
  local first, count = batch_of(redis.call('HGET', K.batches, number))
  if count ~= #ARGV - inputs + 1 or first ~= tonumber(ARGV[inputs]) then return 'aggregated' end
  redis.call('HDEL', K.batches, number)
  redis.call('UNLINK', K.parts)
  for i = inputs, #ARGV do redis.call('HDEL', K.expected, ARGV[i]) end
  local at = FIRST
  while at < inputs do
    note(K.events, retention_s, 'dead-lettered', 'chunk', ARGV[at], 'why', ARGV[at + 1])
    local last = at + 2 + ARGV[at + 2]
    for i = at + 3, last do redis.call('HSETNX', K.failures, ARGV[i], ARGV[at + 1]) end
    at = last + 1
  end
  if inputs > FIRST then redis.call('EXPIRE', K.failures, retention_s) end
  redis.call('HINCRBY', K.run, 'batches_aggregated', 1)
else
  -- All or none: one that was forgotten will be aggregated again, and must not count twice.
  for i = inputs, #ARGV do
    if redis.call('HEXISTS', K.partials, ARGV[i]) == 0 then return 'aggregated' end
  end
  for i = inputs, #ARGV do redis.call('HDEL', K.partials, ARGV[i]) end
end
for _, key in ipairs({K.claims, K.attempts}) do redis.call('HDEL', key, 'partial ' .. level .. ':' .. number) end
redis.call('HSET', K.partials, level .. ':' .. number, A.entry)
redis.call('EXPIRE', K.partials, retention_s)
local run = redis.call('HMGET', K.run, 'batches_aggregated', 'batches_total')
if run[2] and run[1] == run[2] then
  finish(K.run, K.events, retention_s, 'done', '')
  return 'aggregated now'
end
local eldest = number - number % fan_in
for sibling = eldest, eldest + fan_in - 1 do
  if redis.call('HEXISTS', K.partials, level .. ':' .. sibling) == 0 then return 'aggregated now' end
end
return 'family complete'
