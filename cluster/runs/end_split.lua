-- The input is read to its end: from now on the run is done when its last window is folded. Returns the run's state.
-- KEYS: run
-- ARGV: chunks_total, windows_total, items_total
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
redis.call('HSET', KEYS[1], 'chunks_total', ARGV[1], 'windows_total', ARGV[2], 'items_total', ARGV[3])
if (redis.call('HGET', KEYS[1], 'windows_folded') or '0') == ARGV[2] then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'state', 'done', 'finished_at', now[1] .. '.' .. string.format('%06d', now[2]))
  return 'done'
end
return 'running'
