-- The input is read to its end: from now on the run is done when its last window is folded.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (other windows were entered). Asked
-- again, it does nothing.
-- KEYS: run, run:failures, run:events
-- ARGV: fence, chunks_total, windows_total, items_total, unreadable items, retention_s, passed over as JSON,
--       then item, reason, ...
local run = redis.call('HMGET', KEYS[1], 'state', 'fence', 'windows_folded', 'windows_total', 'windows_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= ARGV[1] then return 'fenced' end
if run[4] then return 'running' end
if run[5] ~= ARGV[3] then return 'out of step' end
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('HINCRBY', KEYS[1], 'items_settled', ARGV[5])
redis.call('HSET', KEYS[1], 'chunks_total', ARGV[2], 'windows_total', ARGV[3], 'items_total', ARGV[4], 'passed_over', ARGV[7])
note(KEYS[3], ARGV[6], 'input-read', 'why', ARGV[2] .. ' chunks, ' .. ARGV[4] .. ' items')
if (run[3] or '0') == ARGV[3] then
  finish(KEYS[1], KEYS[3], ARGV[6], 'done', '')
  return 'done'
end
return 'running'
