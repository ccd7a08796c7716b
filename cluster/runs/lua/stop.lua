-- End a run before its end ("cancelled", "failed"). What is on its way finds the state and does nothing more.
-- Returns {1 if it was running, state it is in now}.
-- KEYS: run, run:events, run:outbox, run:queued
-- ARGV: state, error, fence ("": whoever coordinates it), retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'fence')
if not run[1] then return {0, 'unknown'} end
if run[1] ~= 'running' or (ARGV[3] ~= '' and run[2] ~= ARGV[3]) then return {0, run[1]} end
redis.call('UNLINK', KEYS[3], KEYS[4])
finish(KEYS[1], KEYS[2], ARGV[4], ARGV[1], ARGV[2])
return {1, ARGV[1]}
