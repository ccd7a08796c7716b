-- End a run before its end ("cancelled", "failed"). What is on its way finds the state and does nothing more.
-- Returns {1 if it was running, state it is in now}.
-- KEYS: run
-- ARGV: state, error
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {0, 'unknown'} end
if state ~= 'running' then return {0, state} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'error', ARGV[2],
  'finished_at', now[1] .. '.' .. string.format('%06d', now[2]))
return {1, ARGV[1]}
