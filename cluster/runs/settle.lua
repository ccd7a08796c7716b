-- A chunk is over: its first commit wins, or it is set aside. Returns "settled now", "settled", or the run's state.
-- The only place where repeats of a chunk are dropped.
-- KEYS: run, run:done, run:claims, run:chunks, run:parts:W, run:failures, run:nodes
-- ARGV: chunk, part ("" = set aside), items, bytes, node, retention_s, then item, reason, ...
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return 'settled'
end
if redis.call('HDEL', KEYS[4], ARGV[1]) == 0 then return 'unknown' end
redis.call('SETBIT', KEYS[2], ARGV[1], 1)
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'chunks_settled', 1)
redis.call('HINCRBY', KEYS[1], 'items_settled', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'bytes_settled', ARGV[4])
-- A chunk set aside has a row as well, so that a fold can tell it from one whose part was lost.
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
if ARGV[2] ~= '' then redis.call('HINCRBY', KEYS[7], ARGV[5], 1) end
for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 1]) end
-- Whatever becomes of the run, its keys do not stay for ever.
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[6], KEYS[7]}) do redis.call('EXPIRE', key, ARGV[6]) end
return 'settled now'
