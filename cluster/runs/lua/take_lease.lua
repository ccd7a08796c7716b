-- Take a run's lease, or keep it. Returns {"held", fence}, {"busy", holder} or the run's {state}.
-- A splitter, who has the run's input, takes it from a supervisor, who has not, at once; else it must have run out.
-- The fence has a number that only grows, and the owner: after a Redis lost its last moments the number may come again.
-- KEYS: run, run:events
-- ARGV: owner, role ("splitter", "supervisor"), lease_ms, fence ("" to take it anew), retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'fence', 'coordinator', 'lease_until_ms', 'role')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
local now = now_ms()
if ARGV[4] ~= '' then
  if run[2] ~= ARGV[4] then return {'busy', run[3] or ''} end
  redis.call('HSET', KEYS[1], 'lease_until_ms', string.format('%.0f', now + ARGV[3]))
  return {'held', run[2]}
end
local held = run[4] and tonumber(run[4]) > now and run[3] ~= ARGV[1]
if held and not (ARGV[2] == 'splitter' and run[5] == 'supervisor') then return {'busy', run[3]} end
local fence = redis.call('HINCRBY', KEYS[1], 'leases', 1) .. ' ' .. ARGV[1]
redis.call('HSET', KEYS[1], 'coordinator', ARGV[1], 'role', ARGV[2], 'fence', fence,
  'lease_until_ms', string.format('%.0f', now + ARGV[3]))
note(KEYS[2], ARGV[5], 'coordinator', 'node', ARGV[1], 'why', ARGV[2])
return {'held', fence}
