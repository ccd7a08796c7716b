-- End a run before its end ("cancelled", "failed"). What is on its way finds the state and does nothing more.
-- Returns {1 if it was running, state it is in now}.
-- KEYS: run events outbox queued
-- ARGV: state error fence
--   fence: "" ends it whatever lease is held
local run = redis.call('HMGET', K.run, 'state', 'fence')
if not run[1] then return {0, 'unknown'} end
if run[1] ~= 'running' or (A.fence ~= '' and run[2] ~= A.fence) then return {0, run[1]} end
redis.call('UNLINK', K.outbox, K.queued)
finish(K.run, K.events, retention_of(K.run), A.state, A.error)
return {1, A.state}
