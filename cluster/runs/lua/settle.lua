-- A chunk is over: its first commit wins, or it is set aside. Returns "settled now", "settled", or the run's state.
-- The only place where repeats of a chunk are dropped.
-- KEYS: run, run:done, run:claims, run:chunks, run:parts:W, run:failures, run:nodes, run:times, run:attempts, run:copies,
--       run:windows, run:events
-- ARGV: chunk, part ("" = set aside), items, bytes, window, node, start, why ("" = not set aside), retention_s,
--       then item, reason, ...
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return 'settled'
end
if redis.call('HDEL', KEYS[4], ARGV[1]) == 0 then return 'unknown' end
redis.call('SETBIT', KEYS[2], ARGV[1], 1)
redis.call('HINCRBY', KEYS[1], 'chunks_settled', 1)
redis.call('HINCRBY', KEYS[1], 'items_settled', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'bytes_settled', ARGV[4])
-- A chunk set aside has a row as well, so that a fold can tell it from one whose part was lost.
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
local window = redis.call('HGET', KEYS[11], ARGV[5])
if window and redis.call('HLEN', KEYS[5]) == tonumber(string.match(window, ' (%d+)$')) then
  redis.call('HINCRBY', KEYS[1], 'windows_complete', 1)
end
if ARGV[8] ~= '' then
  note(KEYS[12], ARGV[9], 'set-aside', 'chunk', ARGV[1], 'node', ARGV[6], 'why', ARGV[8])
else
  local claim = redis.call('HGET', KEYS[3], ARGV[1])
  local since, start = string.match(claim or '', '^(%d+) (%S+) ')
  if start == ARGV[7] then redis.call('HINCRBY', KEYS[8], ARGV[6], now_ms() - since) end
  if redis.call('HINCRBY', KEYS[7], ARGV[6], 1) == 1 then note(KEYS[12], ARGV[9], 'first-part', 'node', ARGV[6]) end
end
for _, key in ipairs({KEYS[3], KEYS[9], KEYS[10]}) do redis.call('HDEL', key, ARGV[1]) end
for i = 10, #ARGV, 2 do redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 1]) end
-- Whatever becomes of the run, its keys do not stay for ever.
for _, at in ipairs({1, 2, 5, 6, 7, 8}) do redis.call('EXPIRE', KEYS[at], ARGV[9]) end
return 'settled now'
