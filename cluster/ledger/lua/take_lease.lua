-- Take a run's lease, or keep it. Returns {"held", fence}, {"busy", holder} or the run's {state}.
-- A splitter has the run's input: it takes the lease from a supervisor at once. Any other lease must have run out.
-- The fence has a number that only grows, and the owner: after a Redis lost its last moments the number may come again.
-- KEYS: run events
-- ARGV: owner role lease_ms fence
--   role: "splitter", "supervisor"
--   fence: "" takes it anew
local run = redis.call('HMGET', K.run, 'state', 'fence', 'coordinator', 'lease_until_ms', 'role')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
local now = now_ms()
if A.fence ~= '' then
  if run[2] ~= A.fence then return {'busy', run[3] or ''} end
  redis.call('HSET', K.run, 'lease_until_ms', string.format('%.0f', now + A.lease_ms))
  return {'held', run[2]}
end
local held = run[4] and tonumber(run[4]) > now and run[3] ~= A.owner
if held and not (A.role == 'splitter' and run[5] == 'supervisor') then return {'busy', run[3]} end
local fence = redis.call('HINCRBY', K.run, 'leases', 1) .. ' ' .. A.owner
redis.call('HSET', K.run, 'coordinator', A.owner, 'role', A.role, 'fence', fence,
  'lease_until_ms', string.format('%.0f', now + A.lease_ms))
note(K.events, retention_of(K.run), 'coordinator', 'node', A.owner, 'why', A.role)
return {'held', fence}
