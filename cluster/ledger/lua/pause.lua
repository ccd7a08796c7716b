-- Pause a run: from now on no message of it leads to work. What is being worked on is committed as always.
-- Returns the run's state, "unknown", or "in rounds" where nothing has changed, as a run in rounds is not paused.
-- KEYS: run events queued
-- ARGV: why
local run = redis.call('HMGET', K.run, 'state', 'round', 'paused')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] then return 'in rounds' end
if not run[3] then
  redis.call('HSET', K.run, 'paused', A.why)
  redis.call('UNLINK', K.queued) -- its messages are taken out of the queue
  note(K.events, retention_of(K.run), 'paused', 'why', A.why)
end
return 'running'
