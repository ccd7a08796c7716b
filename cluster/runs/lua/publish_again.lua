-- The messages of these chunks and folds are nowhere: let go of their claims and tell the story. Returns those that
-- are still to be done, or {"fenced"} (the lease is another's).
-- KEYS: run, run:chunks, run:windows, run:claims, run:events
-- ARGV: fence, why, event, retention_s, then chunk or "fold 0:window", ...
local run = redis.call('HMGET', KEYS[1], 'state', 'fence')
if run[1] ~= 'running' then return {} end
if run[2] ~= ARGV[1] then return {'fenced'} end
local wanted = {}
for i = 5, #ARGV do
  local window = string.match(ARGV[i], '^fold 0:(%d+)$')
  if redis.call('HEXISTS', window and KEYS[3] or KEYS[2], window or ARGV[i]) == 1 then
    wanted[#wanted + 1] = ARGV[i]
    redis.call('HDEL', KEYS[4], ARGV[i])
    note(KEYS[5], ARGV[4], ARGV[3], 'chunk', ARGV[i], 'why', ARGV[2])
  end
end
return wanted
