-- The messages of these chunks and partials are nowhere: release their claims and add to the history. Returns those that
-- are still to be done, or {"fenced"} (the lease is another's).
-- KEYS: run chunks batches claims events
-- ARGV: fence why event units...
--   units: chunks, or "partial 0:batch"
local run = redis.call('HMGET', K.run, 'state', 'fence')
if run[1] ~= 'running' then return {} end
if run[2] ~= A.fence then return {'fenced'} end
local retention_s = retention_of(K.run)
local wanted = {}
for i = FIRST, #ARGV do
  local batch = string.match(ARGV[i], '^partial 0:(%d+)$')
  if redis.call('HEXISTS', batch and K.batches or K.chunks, batch or ARGV[i]) == 1 then
    wanted[#wanted + 1] = ARGV[i]
    redis.call('HDEL', K.claims, ARGV[i])
    note(K.events, retention_s, A.event, 'chunk', ARGV[i], 'why', A.why)
  end
end
return wanted
