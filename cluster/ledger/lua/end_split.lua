-- The input is read to its end: from now on the run is done when its last batch is aggregated.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (other batches were entered). Asked
-- again, it does nothing.
-- KEYS: run failures events
-- ARGV: fence chunks batches items unreadable passed_over failures...
--   passed_over: JSON
--   failures: item, reason, ...
local run = redis.call('HMGET', K.run, 'state', 'fence', 'batches_aggregated', 'batches_total', 'batches_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= A.fence then return 'fenced' end
if run[4] then return 'running' end
if run[5] ~= A.batches then return 'out of step' end
local retention_s = retention_of(K.run)
for i = FIRST, #ARGV, 2 do redis.call('HSET', K.failures, ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', K.failures, retention_s)
redis.call('HINCRBY', K.run, 'items_settled', A.unreadable)
redis.call('HSET', K.run, 'chunks_total', A.chunks, 'batches_total', A.batches, 'items_total', A.items, 'passed_over', A.passed_over)
note(K.events, retention_s, 'input-read', 'why', A.chunks .. ' chunks, ' .. A.items .. ' items')
if (run[3] or '0') == A.batches then
  finish(K.run, K.events, retention_s, 'done', '')
  return 'done'
end
return 'running'
