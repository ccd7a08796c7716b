-- Put messages whose delay is over into their queues, in front: they are older than what waits there. Returns how many.
-- KEYS: cluster:delayed, and the queues that its members name
-- ARGV: how many at most, milliseconds that a delay may take: one that is further off is over, as the clock was set back
local function due(from, to) return redis.call('ZRANGEBYSCORE', KEYS[1], from, to, 'LIMIT', 0, ARGV[1]) end
local now = now_ms()
local found = due('-inf', string.format('%.0f', now))
if #found == 0 then found = due(string.format('(%.0f', now + ARGV[2]), '+inf') end
for _, member in ipairs(found) do
  redis.call('ZREM', KEYS[1], member) -- needs no memory, so a full Redis takes what follows, too
  local queue, message = string.match(member, '^([^\n]+)\n(.*)$')
  if queue then redis.pcall('RPUSH', queue, message) end -- who forges a name must not hold up the others
end
return #found
